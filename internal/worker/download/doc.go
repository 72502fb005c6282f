// Package download is the interface between a worker and the engines that fetch
// bytes: aria2, direct and combined. All pass the suite in downloadtest.
//
// The worker's journal is the truth; an engine is a cache of it. The worker adds a job
// again that an engine has lost.
//
// The package also has the code that the engines share: failure classes by aria2's exit
// codes, HTTP requests and the rule for redirects, the comparison of file versions, the
// defaults of options, and the handling of a job's folder.
package download
