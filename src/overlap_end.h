/* Undoes the names of overlap.h. */
#undef check_boxes
#undef check_scores
#undef fill_columns
#undef largest_below
