-- Whether the lease is still this store's. By owner and not by epoch: a settle of our own raises that while this is under way.
SELECT true FROM shard_leases WHERE kind = $1 AND layout = $2 AND shard = $3 AND owner = $4
