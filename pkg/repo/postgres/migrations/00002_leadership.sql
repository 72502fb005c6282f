-- +goose Up

-- How long the holder wants the row to stay unchanged before another one takes it, in
-- milliseconds: whoever waits for less must not depose it. 0: no holder has said it yet. A
-- holder of the version before does not change it, so the time is then that of a holder before.
ALTER TABLE leader ADD COLUMN ttl bigint NOT NULL DEFAULT 0;

-- Whether writes are refused because the tasks were copied to another store (migrate
-- --final): whichever dispatcher leads next refuses them too. One of the version before, which
-- may still run, does not know that: its aria_fence, with one argument, refuses for it.
ALTER TABLE fence ADD COLUMN frozen boolean NOT NULL DEFAULT false;

-- Rises whenever a leader has waited for a commit of unknown outcome, and begins again with
-- each term. A commit of before that the server begins only then, because it was still on
-- its way, has the lower one and writes nothing.
ALTER TABLE fence ADD COLUMN generation bigint NOT NULL DEFAULT 0;

-- The first statement of each write transaction. It does not look at
-- frozen, which the dispatcher does: the end of a freeze is a write. NULL: any generation.
-- +goose StatementBegin
CREATE FUNCTION aria_fence(expected bigint, expected_generation bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    have record;
BEGIN
    SELECT term, generation INTO STRICT have FROM fence FOR KEY SHARE;
    IF have.term <> expected AND expected <> 0 THEN
        RAISE EXCEPTION 'the term is %, not %', have.term, expected USING ERRCODE = 'AR001';
    END IF;
    IF have.generation <> expected_generation AND expected <> 0 THEN
        RAISE EXCEPTION 'the generation of the term % is %, not %', have.term, have.generation, expected_generation USING ERRCODE = 'AR001';
    END IF;
END $$;
-- +goose StatementEnd

-- That of the version before.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION aria_fence(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM aria_fence(expected, NULL);
    IF (SELECT frozen FROM fence) THEN
        RAISE EXCEPTION 'writes are refused: a final export was made' USING ERRCODE = 'AR001';
    END IF;
END $$;
-- +goose StatementEnd
