package repo

// SchemaVersion is the newest schema of the stores that this program knows: the number
// of the last migration of each. Programs without a store print it too.
const SchemaVersion = 3
