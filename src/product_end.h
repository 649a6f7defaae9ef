/* The end of what product.h and each_lanes.h defined for one kind of processor. */
#undef vector
#undef LOAD
#undef STORE
#undef multiply
#undef multiply_rows
#undef result
#undef LANES
#undef TARGET
#undef LARGER
#undef MOST
#undef EACH_OF_MOST
