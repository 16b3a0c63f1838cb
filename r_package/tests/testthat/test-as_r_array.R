test_that("NumPy arrays of every dtype become R arrays", {
  skip_if_no_keras()
  np <- reticulate::import("numpy", convert = FALSE)
  values <- matrix(c(1, 0, 1, 1, 0, 0), 2)
  types <- c(
    bool = "logical", int8 = "integer", int16 = "integer", int32 = "integer", uint8 = "integer",
    uint16 = "integer", uint32 = "double", int64 = "double", uint64 = "double",
    float16 = "double", float32 = "double", float64 = "double", complex64 = "complex",
    complex128 = "complex"
  )
  for (dtype in names(types)) {
    array <- as_r_array(np$array(values)$astype(dtype))
    expect_identical(typeof(array), types[[dtype]])
    expect_identical(array == 1, values == 1, info = dtype)
  }
})

test_that("tensors and variables of every dtype become R arrays", {
  skip_if_no_keras()
  ops <- py_keras()$ops
  values <- matrix(c(1, 0, 1, 1, 0, 0), 2)
  types <- c(
    bool = "logical", int8 = "integer", int16 = "integer", int32 = "integer", int64 = "double",
    uint8 = "integer", uint16 = "integer", uint32 = "double", uint64 = "double",
    float16 = "double", bfloat16 = "double", float32 = "double", float64 = "double",
    float8_e4m3fn = "double", float8_e5m2 = "double"
  )
  for (dtype in names(types)) {
    tensor <- ops$convert_to_tensor(values, dtype = dtype)
    expect_identical(typeof(as_r_array(tensor)), types[[dtype]])
    expect_identical(as_r_array(tensor) == 1, values == 1, info = dtype)
    variable <- py_keras()$Variable(tensor, dtype = dtype)
    expect_identical(as_r_array(variable) == 1, values == 1, info = dtype)
  }
})

test_that("complex tensors become complex arrays", {
  skip_if_no_keras()
  tensor <- reticulate::import("tensorflow")$constant(matrix(c(1 + 2i, 0 - 1i), 1))
  expect_identical(as_r_array(tensor), matrix(c(1 + 2i, 0 - 1i), 1))
})

test_that("values keep all their digits", {
  skip_if_no_keras()
  np <- reticulate::import("numpy", convert = FALSE)
  expect_identical(as_r_array(np$array(list(2^53, -2^53))$astype("int64")), array(c(2^53, -2^53)))
  expect_identical(as_r_array(np$array(list(2^32 - 1))$astype("uint32")), array(2^32 - 1))
  x <- numbers(2, 3, 4)
  expect_identical(as_r_array(np$array(x)), x)
  expect_identical(as_r_array(np$array(x, order = "C")), x)
  values <- array(c(-3, 1.0078125)) # 1 + 2^-7: all the digits of bfloat16
  for (dtype in c("float16", "bfloat16")) {
    tensor <- py_keras()$ops$convert_to_tensor(values, dtype = dtype)
    expect_identical(as_r_array(tensor), values)
  }
})

test_that("a tensor of rank 0 becomes a plain number, of no rows an array of none", {
  skip_if_no_keras()
  ops <- py_keras()$ops
  for (dtype in c("float32", "bfloat16")) {
    expect_identical(as_r_array(ops$ones(list(), dtype = dtype)), 1)
  }
  expect_identical(as_r_array(ops$ones(c(0L, 3L))), matrix(0, 0, 3))
})

test_that("R arrays come back as they are", {
  x <- matrix(1:4, 2, dimnames = list(NULL, c("a", "b")))
  expect_identical(as_r_array(x), x)
})

test_that("what has no values is an error", {
  skip_if_no_keras()
  expect_argument_error(as_r_array(py_keras()$Input(list(4L))), "symbolic tensor has no values")
  expect_argument_error(as_r_array(new_model()), "`x` must be a tensor with values")
  expect_session_works()
})
