/* Constraints: read from a signature once, compared with the tensors of each call.
 *
 * ffi_ext/constraints.py writes them, and says in words what did not fit. */
#include "constraints.h"

#include <stdlib.h>
#include <string.h>

#include "element_types.h"

static int is_word(const char *text, size_t length, const char *word) {
  return strlen(word) == length && !memcmp(text, word, length);
}

static int dtype_number(const char *text, size_t length) {
#define ROW(NAME, SCALAR, ...) {#NAME, FFI_EXT_##SCALAR},
  static const struct {
    const char *name;
    int number;
  } known[] = {FFI_SCALARS(ROW)};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (is_word(text, length, known[i].name)) return known[i].number;
  return -1;
}

static int name_place(ffi_size_names *names, const char *text, size_t length) {
  for (int i = 0; i < names->count; i++)
    if (names->names[i].length == length && !memcmp(names->names[i].text, text, length)) return i;
  if (names->count == FFI_CONSTRAINT_NAMES) return -1;
  names->names[names->count].text = text;
  names->names[names->count].length = length;
  return names->count++;
}

/* "(N,3,...)" */
static int parse_shape(const char *text, size_t length, ffi_constraint *k, ffi_size_names *names) {
  const char *at = text + 1, *end = text + length - 1;
  k->has_shape = 1;
  while (at < end) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const size_t n = (size_t)((comma ? comma : end) - at);
    if (is_word(at, n, "...")) {
      k->ellipsis = k->dims;
    } else {
      int64_t size = FFI_ANY_SIZE;
      if (*at >= '0' && *at <= '9') {
        size = strtoll(at, NULL, 10);
      } else if (!is_word(at, n, "_")) {
        const int place = name_place(names, at, n);
        if (place < 0) return -1;
        size = FFI_FIRST_NAME - place;
      }
      if (k->dims == FFI_CONSTRAINT_DIMS) return -1;
      k->dim[(int)k->dims++] = size;
    }
    at += n + 1;
  }
  return 0;
}

/* "float32|float64", "cpu|cuda" */
static int parse_alternatives(const char *text, size_t length, ffi_constraint *k) {
  int devices = 0;
  while (length) {
    const char *bar = memchr(text, '|', length);
    const size_t n = bar ? (size_t)(bar - text) : length;
    const int number = dtype_number(text, n);
    if (number >= 0)
      k->dtypes |= UINT32_C(1) << number;
    else if (is_word(text, n, "cpu"))
      devices |= FFI_ON_CPU;
    else if (is_word(text, n, "cuda"))
      devices |= FFI_ON_CUDA;
    else
      return -1;
    text += n + (bar != NULL);
    length -= n + (bar != NULL);
  }
  if (devices) k->devices = (signed char)devices;
  return 0;
}

static int parse_item(const char *text, size_t length, ffi_constraint *k, ffi_size_names *names) {
  if (*text == '(') return parse_shape(text, length, k, names);
  if (!strncmp(text, "dtype(", 6)) return k->dtype_of = (short)atoi(text + 6), 0;
  if (!strncmp(text, "like(", 5)) return k->like = (short)atoi(text + 5), 0;
  if (is_word(text, length, "output")) return k->output = 1, 0;
  if (is_word(text, length, "optional")) return k->optional = 1, 0;
  if (is_word(text, length, "contiguous")) return k->layout = FFI_CONTIGUOUS, 0;
  if (is_word(text, length, "channels_last")) return k->layout = FFI_CHANNELS_LAST, 0;
  return parse_alternatives(text, length, k);
}

int ffi_constraint_parse(const char **at, ffi_constraint *k, ffi_size_names *names) {
  const char *end = strchr(*at, ']');
  if (!end) return -1;
  memset(k, 0, sizeof *k);
  k->text = *at;
  k->length = (int)(end + 1 - *at);
  k->ellipsis = -1;
  k->dtype_of = k->like = -1;
  k->devices = FFI_ON_CPU;
  for (const char *item = *at + 1; item < end;) {
    int depth = 0;
    const char *stop = item;
    for (; stop < end && (depth || *stop != ','); stop++) depth += (*stop == '(') - (*stop == ')');
    if (parse_item(item, (size_t)(stop - item), k, names)) return -1;
    item = stop + 1;
  }
  *at = end + 1;
  return 0;
}

int ffi_constraint_compares(const ffi_constraint *k) {
  const int several = k->devices == (FFI_ON_CPU | FFI_ON_CUDA); /* all tensors on the same one */
  return k->dtypes || k->layout || k->output || k->has_shape || k->dtype_of >= 0 || k->like >= 0 ||
         several;
}

static int size_fits(int64_t wanted, int64_t got, ffi_sizes *sizes) {
  if (wanted >= 0) return wanted == got;
  if (wanted == FFI_ANY_SIZE) return 1;
  const int name = (int)(FFI_FIRST_NAME - wanted);
  if (sizes->known & UINT32_C(1) << name) return sizes->value[name] == got;
  sizes->known |= UINT32_C(1) << name;
  sizes->value[name] = got;
  return 1;
}

static int shape_fits(const ffi_constraint *k, const ffi_seen *t, ffi_sizes *sizes) {
  const int open = k->ellipsis >= 0, skipped = t->ndim - k->dims;
  if (open ? skipped < 0 : skipped != 0) return 0;
  for (int i = 0; i < k->dims; i++) {
    const int place = open && i >= k->ellipsis ? i + skipped : i;
    if (!size_fits(k->dim[i], t->shape[place], sizes)) return 0;
  }
  return 1;
}

/* Strides of a dense tensor whose axes lie in this order, the innermost first; axes of one element
 * do not count. */
static int lies_dense(const ffi_seen *t, const signed char *order) {
  int64_t expected = 1;
  int dense = 1;
  for (int i = 0; i < t->ndim; i++) {
    const int axis = order ? order[i] : t->ndim - 1 - i;
    if (t->shape[axis] == 0) return 1; /* no element lies in a wrong place */
    dense = dense && (t->shape[axis] == 1 || t->stride[axis] == expected);
    if (dense) expected *= t->shape[axis];
  }
  return dense;
}

static int layout_fits(int layout, const ffi_seen *t) {
  static const signed char channels_last[4] = {1, 3, 2, 0};
  if (layout == FFI_ANY_LAYOUT) return 1;
  if (layout == FFI_CONTIGUOUS) return lies_dense(t, NULL);
  return t->ndim == 4 && lies_dense(t, channels_last);
}

/* Whether several elements have one place, where of what C writes the last would be left. */
static int is_expanded(const ffi_seen *t) {
  int expanded = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (t->shape[i] == 0) return 0;
    expanded |= t->shape[i] > 1 && t->stride[i] == 0;
  }
  return expanded;
}

int ffi_seen_overlap(const ffi_seen *a, const ffi_seen *b) {
  return a->first < b->end && b->first < a->end;
}

int ffi_constraint_fits(const ffi_constraint *k, const ffi_seen *seen, int index,
                        ffi_sizes *sizes) {
  const ffi_seen *t = &seen[index];
  if (k->dtypes && !(k->dtypes >> t->scalar & 1)) return 0;
  /* The earlier argument may have been NULL: ndim is -1 then. */
  if (k->dtype_of >= 0 && seen[k->dtype_of].ndim >= 0 && seen[k->dtype_of].scalar != t->scalar)
    return 0;
  if (k->like >= 0 && seen[k->like].ndim >= 0) {
    const ffi_seen *other = &seen[k->like];
    if (other->scalar != t->scalar || other->ndim != t->ndim ||
        memcmp(other->shape, t->shape, (size_t)t->ndim * sizeof *t->shape))
      return 0;
  }
  return (!k->has_shape || shape_fits(k, t, sizes)) && layout_fits(k->layout, t) &&
         !(k->output && is_expanded(t));
}
