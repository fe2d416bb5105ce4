-- A retry by an idempotency key, or of an effect, is found by its id. Requests of sessions count upward and are mostly known to be
-- new without a look: they are not in this index, which costs a busy space nothing.
CREATE INDEX journal_operation ON journal (kind, entity_id, operation_id)
    WHERE operation_id !~ '^[^:]+:[0-9]{1,18}$';
