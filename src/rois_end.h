/* Undoes the names of rois.h. */
#undef BLOCK
#undef WINDOW_GAIN
#undef LAST_GAIN
#undef vector
#undef check_rois
#undef gather_slab
#undef scatter_slab
#undef transpose
#undef transpose_4x4
#undef WIDE_TRANSPOSE
