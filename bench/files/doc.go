// Files measures what a download costs: many small files, some of 5 MB and one large
// one, served by nginx on the same machine. It compares a dispatcher and a worker of this
// tree with aria2c, curl and wget2. A measurement counts only if every file is there once
// with its bytes.
package main
