-- Whom the name $2 may mean to $1: built-in ones, then their own, newest first, then others' public ones.
SELECT id, author_id, builtin, is_public
FROM sacred_rituals
WHERE name = $2 AND withdrawn_at IS NULL AND (is_public OR builtin OR author_id = $1::uuid)
ORDER BY builtin DESC, (author_id IS NOT DISTINCT FROM $1::uuid) DESC, created_at DESC, id DESC
LIMIT $3
