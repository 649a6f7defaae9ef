/* What the operators on boxes share, once per precision: included in the generic part of their
 * files.
 *
 * Boxes are kept as five columns, so that a loop over boxes reads vectors: x1, y1, x2, y2, area. */

#define check_boxes TH_CONCAT_2(overlap_check_boxes_, real)
#define check_scores TH_CONCAT_2(overlap_check_scores_, real)
#define fill_columns TH_CONCAT_2(overlap_fill_columns_, real)
#define largest_below TH_CONCAT_2(overlap_largest_below_, real)

static inline void check_boxes(const THTensor *boxes, int argument, const char *name) {
  REQUIRE(boxes->nDimension == 2 && boxes->size[1] == 4, argument,
          "%s must be (N, 4) with rows of x1, y1, x2, y2, got %s", name,
          THTensor_(sizeDesc)(boxes).str);
}

/* Argument 2 has a score for each box. */
static inline void check_scores(const THTensor *scores, int64_t count) {
  REQUIRE(scores->nDimension <= 1 && THTensor_(nElement)(scores) == count, 2,
          "scores must have one value per box, shape [%lld], got %s", (long long)count,
          THTensor_(sizeDesc)(scores).str);
}

/* Box order[i] (box i if order is NULL) goes to row i of the columns, which are `count` long and
 * follow each other at room. A box is x2 - x1 + extra wide. */
static inline void fill_columns(const THTensor *boxes, const int64_t *order, int64_t count,
                                real extra, real *room, real **column) {
  const real *box = THTensor_(data)(boxes);
  const int64_t *stride = boxes->stride;
  for (int i = 0; i < 5; i++) column[i] = room + i * count;
  for (int64_t i = 0; i < count; i++) {
    const real *row = box + (order ? order[i] : i) * stride[0];
    for (int j = 0; j < 4; j++) column[j][i] = row[j * stride[1]];
    column[4][i] = (column[2][i] - column[0][i] + extra) * (column[3][i] - column[1][i] + extra);
  }
}

/* The largest real that is not above the threshold: for a real v, v > threshold holds exactly if v
 * > it. */
static inline real largest_below(double threshold) {
  real t = (real)threshold;
  if ((double)t > threshold) t = (real)nextafterf((float)t, -INFINITY);
  return t;
}
