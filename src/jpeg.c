/* A part of a JPEG. Upsampled colours depend on their neighbours, and libjpeg does not look beyond
 * its crop, so it is asked for a margin on each side, which is then left out. */
#include "jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "kernels.h"

#define MARGIN 32 /* at least one block of 16 x 16, the largest unit of colours */

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf leave;
  char text[JMSG_LENGTH_MAX];
} error_handler;

static void leave_with_text(j_common_ptr info) {
  error_handler *handler = (error_handler *)info->err;
  info->err->format_message(info, handler->text);
  longjmp(handler->leave, 1);
}

/* A warning says that data are damaged: the pixels would be guesses. Others are traces. */
static void leave_on_warning(j_common_ptr info, int level) {
  if (level < 0) leave_with_text(info);
}

/* Writes to handler->text and returns 0 if it fails. No TH function is called while libjpeg holds
 * memory: they leave by exceptions. */
static int decode_part(error_handler *handler, const uint8_t *file, size_t size, int64_t top,
                       int64_t left, int64_t height, int64_t width, uint8_t *pixels) {
  struct jpeg_decompress_struct info;
  info.err = jpeg_std_error(&handler->base);
  handler->base.error_exit = leave_with_text;
  handler->base.emit_message = leave_on_warning;
  if (setjmp(handler->leave)) {
    jpeg_destroy_decompress(&info);
    return 0;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  const int64_t all_rows = info.image_height, all_columns = info.image_width;
  if (top + height > all_rows || left + width > all_columns) {
    snprintf(handler->text, sizeof handler->text, "the part must lie in the image of %lld x %lld",
             (long long)all_rows, (long long)all_columns);
    longjmp(handler->leave, 1);
  }
  jpeg_start_decompress(&info);
  JDIMENSION first = left > MARGIN ? left - MARGIN : 0;
  const JDIMENSION end = left + width + MARGIN < all_columns ? left + width + MARGIN : all_columns;
  JDIMENSION columns = end - first;
  jpeg_crop_scanline(&info, &first, &columns); /* moves first to the left, to a block's border */
  JSAMPARRAY row = info.mem->alloc_sarray((j_common_ptr)&info, JPOOL_IMAGE, columns * 3, 1);
  if (top > 0) jpeg_skip_scanlines(&info, top);
  for (int64_t y = 0; y < height; y++) {
    jpeg_read_scanlines(&info, row, 1);
    memcpy(pixels + y * width * 3, row[0] + (left - first) * 3, (size_t)width * 3);
  }
  jpeg_destroy_decompress(&info);
  return 1;
}

void decode_jpeg_part(const THByteTensor *file, int64_t top, int64_t left, THByteTensor *pixels) {
  REQUIRE(THByteTensor_isContiguous(file), 1, "file must be contiguous");
  REQUIRE(top >= 0 && left >= 0 && top <= 65535 && left <= 65535, 2,
          "the part must lie in the image, got top %lld and left %lld", (long long)top,
          (long long)left);
  REQUIRE(pixels->nDimension == 3 && pixels->size[2] == 3 && pixels->size[0] <= 65535 &&
              pixels->size[1] <= 65535,
          4, "pixels must have the shape (height, width, 3)");
  REQUIRE(THByteTensor_isContiguous(pixels), 4, "pixels must be contiguous");
  error_handler handler;
  if (!decode_part(&handler, THByteTensor_data(file), (size_t)THByteTensor_nElement(file), top,
                   left, pixels->size[0], pixels->size[1], THByteTensor_data(pixels)))
    THError("decode_jpeg_part: %s", handler.text);
}
