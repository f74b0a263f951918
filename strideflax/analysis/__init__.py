"""What runs say together: a table of results, statistics of paired seeds, published claims."""
