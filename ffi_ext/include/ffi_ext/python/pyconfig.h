/* Read before Python.h; what it would tell is known: see Python.h. */
