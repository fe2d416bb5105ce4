SELECT layouts FROM cluster_owner
