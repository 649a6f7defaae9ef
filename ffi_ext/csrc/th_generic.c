/* The typed functions, for every element type: TH's own mechanism applied to generic/th_*.c. */
#include "th_core.h"

/* enum ffi_type of the type at hand: "Float" -> FFI_NUMBER_Float. */
#define FFI_NUMBER_Float FFI_FLOAT
#define FFI_NUMBER_Double FFI_DOUBLE
#define FFI_NUMBER_Long FFI_LONG
#define FFI_NUMBER_Int FFI_INT
#define FFI_NUMBER_Short FFI_SHORT
#define FFI_NUMBER_Char FFI_CHAR
#define FFI_NUMBER_Byte FFI_BYTE
#define FFI_NUMBER_Half FFI_HALF
#define TYPE_NUMBER TH_CONCAT_2(FFI_NUMBER_, Real)

#define TH_GENERIC_FILE "../../csrc/generic/th_storage.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_storage.c"
#include "TH/THGenerateHalfType.h"

#define TH_GENERIC_FILE "../../csrc/generic/th_tensor.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_tensor.c"
#include "TH/THGenerateHalfType.h"

#define TH_GENERIC_FILE "../../csrc/generic/th_copy.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_copy.c"
#include "TH/THGenerateHalfType.h"
