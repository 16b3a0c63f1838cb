// The part of XLA's foreign function interface that call.cc uses, declared here so that building
// needs no XLA. The layouts are those of xla/ffi/api/c_api.h, versions 0.1 to 0.3, in which they
// are the same; XLA compares versions when a call is registered, and refuses one that does not fit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xla_ffi {

// Every struct begins with its own size and a list of extensions.
struct Extension {
  std::size_t size;
  int type;
  Extension* next;
};
constexpr int kMetadata = 1;  // an Extension's type

struct Version {
  std::size_t size;
  Extension* extensions;
  int major_version, minor_version;
};

// What a call tells about itself when it is registered. XLA's own struct may go on after traits.
struct Metadata {
  std::size_t size;
  Version version;
  std::uint32_t traits;
};
struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

enum DataType { kPred = 1, kS64 = 5, kU32 = 8, kF16 = 10, kF32 = 11, kF64 = 12, kBF16 = 16 };

constexpr int kBuffer = 1;  // an argument's or a result's type
struct Buffer {
  std::size_t size;
  Extension* extensions;
  int dtype;
  void* data;
  std::int64_t rank;
  const std::int64_t* dims;
};

// Arguments or results.
struct Buffers {
  std::size_t size;
  Extension* extensions;
  std::int64_t count;
  const int* types;
  void** at;
};

struct Text {
  const char* data;
  std::size_t length;
};

constexpr int kScalar = 3;  // an attribute's type
struct Scalar {
  int dtype;
  const void* value;
};
struct Attributes {
  std::size_t size;
  Extension* extensions;
  std::int64_t count;
  const int* types;
  Text** names;
  void** at;
};

struct Api;
struct Context;
struct Error;

struct Frame {
  std::size_t size;
  Extension* extensions;
  const Api* api;
  Context* context;
  int stage;
  Buffers arguments, results;
  Attributes attributes;
};

using Handler = Error* (*)(Frame*);

struct HandlerRegister {
  std::size_t size;
  Extension* extensions;
  Text name, platform;
  Handler instantiate, prepare, initialize, execute;
  std::uint32_t traits;
};

enum ErrorCode { kInvalidArgument = 3, kResourceExhausted = 8 };
struct ErrorCreate {
  std::size_t size;
  Extension* extensions;
  const char* message;
  int code;
};
struct ErrorGetMessage {
  std::size_t size;
  Extension* extensions;
  Error* error;
  const char* message;  // out
};
struct ErrorDestroy {
  std::size_t size;
  Extension* extensions;
  Error* error;
};

struct ThreadPoolSchedule {
  std::size_t size;
  Extension* extensions;
  Context* context;
  void (*task)(void* data);
  void* data;
};
struct ThreadPoolNumThreads {
  std::size_t size;
  Extension* extensions;
  Context* context;
  std::int64_t* count;  // out
};

struct Api {
  std::size_t size;
  Extension* extensions;
  Version version;
  const void* internal;
  Error* (*error_create)(ErrorCreate*);
  void (*error_get_message)(ErrorGetMessage*);
  void (*error_destroy)(ErrorDestroy*);
  Error* (*handler_register)(HandlerRegister*);
  void (*unused[7])();  // streams, types, contexts, states, memory
  Error* (*thread_pool_schedule)(ThreadPoolSchedule*);
  Error* (*thread_pool_num_threads)(ThreadPoolNumThreads*);
};

}  // namespace xla_ffi
