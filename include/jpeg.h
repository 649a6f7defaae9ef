/* A part of a JPEG, decoded by libjpeg-turbo without the rest of the image. */
#ifndef JPEG_H
#define JPEG_H

#include <TH/TH.h>

/* pixels = rows top ... and columns left ... of the image in `file`
 *
 * file: a JPEG's bytes, contiguous. pixels (height, width, 3) uint8, contiguous: says how much, and
 * receives it as RGB; the same values as decoding all of the image gives. Rows below are not
 * decoded, columns beside it not transformed back. CMYK images, damaged files, and parts that are
 * not in the image are errors; damage below the part goes unnoticed. */
void decode_jpeg_part(const THByteTensor *file, int64_t top, int64_t left, THByteTensor *pixels);

#endif
