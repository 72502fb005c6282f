// Package download is the seam between a worker and the engines that fetch
// bytes: aria2 and direct. downloadtest is the suite that both pass.
//
// An engine is a cache of what the worker wants: the worker's journal is the
// truth, and whatever an engine has lost the worker adds again.
//
// What the engines share is here too: the classes of failures by aria2's exit
// codes, requests and the rule of what follows a redirect, what tells versions of a
// file apart, the defaults of options, and the handling of a job's folder.
package download
