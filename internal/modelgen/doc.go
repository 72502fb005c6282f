// Command modelgen generates the code that names each field of the model: writers of
// JSON, sets of fields, the record codec, SQL columns, binders and scanners, and the
// schemas of docs/asyncapi.yaml; also the number of the last migration. The readers of JSON
// and the schemas of the endpoints follow the same tags by reflection. A field is declared
// once, in a struct of pkg/model, with these tags; the comment behind it describes it in the
// schema:
//
//	json:"NAME,omitempty"   the member of the JSON, as for encoding/json
//	db:"COLUMN,WORD…"       the column of the SQL table; "-" for a field that is not stored
//	check:"RULE"            what a text may be
//	record:"PLACE"          where the field stands in a record, if not in the order of the struct
//	schema:"KEYWORDS"       more keywords of the JSON Schema, in the syntax of YAML
//
// Words of db:
//
//	set=NAME     the columns of one set are written together. In TaskState the set is also
//	             the bit model.SetNAME. Default: the name of the field, or Other in TaskSpec
//	always       every task has something in the set
//	usual        a new task often has something in the set
//	live=always  the engine needs the field of every task when it starts
//	live=never   the engine does not need the field when it starts
//
// Rules of check, for texts; each stored text has one:
//
//	name   a name as in model.ValidName, or empty
//	max=N  at most N bytes without control characters; TaskSpec.Validate refuses others
//	hand   checked by code that is written by hand
//	raw    any text; it stands last in a row
//
// Places of record: head and tail of the canonical JSON, or outside of it (after it).
//
// A field with a new type needs a template for the type: the generator names it. Run
// "go generate ./pkg/model" after a change; a test of this package fails if the output is
// stale.
package main
