// Compiled, never run: the structs that native/xla/ffi.h declares lie as those of XLA's own header.
#include <cstddef>

#include "ffi.h"
#include "xla/ffi/api/c_api.h"

#define SAME(ours, our_field, theirs, their_field)                                         \
  static_assert(offsetof(xla_ffi::ours, our_field) == offsetof(theirs, their_field) &&     \
                    sizeof(xla_ffi::ours::our_field) == sizeof(((theirs*)0)->their_field), \
                #ours "::" #our_field " lies elsewhere in XLA")
#define VALUE(ours, theirs) \
  static_assert(static_cast<int>(xla_ffi::ours) == static_cast<int>(theirs), #ours " differs")

SAME(Extension, size, XLA_FFI_Extension_Base, struct_size);
SAME(Extension, type, XLA_FFI_Extension_Base, type);
SAME(Extension, next, XLA_FFI_Extension_Base, next);
VALUE(kMetadata, XLA_FFI_Extension_Metadata);
SAME(Version, size, XLA_FFI_Api_Version, struct_size);
SAME(Version, major_version, XLA_FFI_Api_Version, major_version);
SAME(Version, minor_version, XLA_FFI_Api_Version, minor_version);
SAME(Metadata, version, XLA_FFI_Metadata, api_version);
SAME(Metadata, traits, XLA_FFI_Metadata, traits);
SAME(MetadataExtension, base, XLA_FFI_Metadata_Extension, extension_base);
SAME(MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata);

VALUE(kPred, XLA_FFI_DataType_PRED);
VALUE(kS64, XLA_FFI_DataType_S64);
VALUE(kU32, XLA_FFI_DataType_U32);
VALUE(kF16, XLA_FFI_DataType_F16);
VALUE(kF32, XLA_FFI_DataType_F32);
VALUE(kF64, XLA_FFI_DataType_F64);
VALUE(kBF16, XLA_FFI_DataType_BF16);
VALUE(kBuffer, XLA_FFI_ArgType_BUFFER);
VALUE(kBuffer, XLA_FFI_RetType_BUFFER);
SAME(Buffer, size, XLA_FFI_Buffer, struct_size);
SAME(Buffer, dtype, XLA_FFI_Buffer, dtype);
SAME(Buffer, data, XLA_FFI_Buffer, data);
SAME(Buffer, rank, XLA_FFI_Buffer, rank);
SAME(Buffer, dims, XLA_FFI_Buffer, dims);

SAME(Buffers, count, XLA_FFI_Args, size);
SAME(Buffers, types, XLA_FFI_Args, types);
SAME(Buffers, at, XLA_FFI_Args, args);
SAME(Buffers, count, XLA_FFI_Rets, size);
SAME(Buffers, types, XLA_FFI_Rets, types);
SAME(Buffers, at, XLA_FFI_Rets, rets);
SAME(Text, data, XLA_FFI_ByteSpan, ptr);
SAME(Text, length, XLA_FFI_ByteSpan, len);
VALUE(kScalar, XLA_FFI_AttrType_SCALAR);
SAME(Scalar, dtype, XLA_FFI_Scalar, dtype);
SAME(Scalar, value, XLA_FFI_Scalar, value);
SAME(Attributes, count, XLA_FFI_Attrs, size);
SAME(Attributes, types, XLA_FFI_Attrs, types);
SAME(Attributes, names, XLA_FFI_Attrs, names);
SAME(Attributes, at, XLA_FFI_Attrs, attrs);

SAME(Frame, size, XLA_FFI_CallFrame, struct_size);
SAME(Frame, extensions, XLA_FFI_CallFrame, extension_start);
SAME(Frame, api, XLA_FFI_CallFrame, api);
SAME(Frame, context, XLA_FFI_CallFrame, ctx);
SAME(Frame, stage, XLA_FFI_CallFrame, stage);
SAME(Frame, arguments, XLA_FFI_CallFrame, args);
SAME(Frame, results, XLA_FFI_CallFrame, rets);
SAME(Frame, attributes, XLA_FFI_CallFrame, attrs);

SAME(HandlerRegister, name, XLA_FFI_Handler_Register_Args, name);
SAME(HandlerRegister, platform, XLA_FFI_Handler_Register_Args, platform);
SAME(HandlerRegister, instantiate, XLA_FFI_Handler_Register_Args, bundle.instantiate);
SAME(HandlerRegister, execute, XLA_FFI_Handler_Register_Args, bundle.execute);
SAME(HandlerRegister, traits, XLA_FFI_Handler_Register_Args, traits);

VALUE(kInvalidArgument, XLA_FFI_Error_Code_INVALID_ARGUMENT);
VALUE(kResourceExhausted, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED);
SAME(ErrorCreate, message, XLA_FFI_Error_Create_Args, message);
SAME(ErrorCreate, code, XLA_FFI_Error_Create_Args, errc);
SAME(ErrorGetMessage, error, XLA_FFI_Error_GetMessage_Args, error);
SAME(ErrorGetMessage, message, XLA_FFI_Error_GetMessage_Args, message);
SAME(ErrorDestroy, error, XLA_FFI_Error_Destroy_Args, error);

SAME(ThreadPoolSchedule, context, XLA_FFI_ThreadPool_Schedule_Args, ctx);
SAME(ThreadPoolSchedule, task, XLA_FFI_ThreadPool_Schedule_Args, task);
SAME(ThreadPoolSchedule, data, XLA_FFI_ThreadPool_Schedule_Args, data);
SAME(ThreadPoolNumThreads, context, XLA_FFI_ThreadPool_NumThreads_Args, ctx);
SAME(ThreadPoolNumThreads, count, XLA_FFI_ThreadPool_NumThreads_Args, num_threads);

SAME(Api, size, XLA_FFI_Api, struct_size);
SAME(Api, version, XLA_FFI_Api, api_version);
SAME(Api, error_create, XLA_FFI_Api, XLA_FFI_Error_Create);
SAME(Api, error_get_message, XLA_FFI_Api, XLA_FFI_Error_GetMessage);
SAME(Api, error_destroy, XLA_FFI_Api, XLA_FFI_Error_Destroy);
SAME(Api, handler_register, XLA_FFI_Api, XLA_FFI_Handler_Register);
SAME(Api, thread_pool_schedule, XLA_FFI_Api, XLA_FFI_ThreadPool_Schedule);
SAME(Api, thread_pool_num_threads, XLA_FFI_Api, XLA_FFI_ThreadPool_NumThreads);
