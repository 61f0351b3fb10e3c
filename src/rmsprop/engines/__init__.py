"""One module a framework: a whole step on its arrays - norms, buckets, which compiler, who owns which memory."""
