"""``/metrics``: what every process of the cluster counts, in one scrape."""
