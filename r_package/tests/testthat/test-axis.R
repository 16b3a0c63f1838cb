axis_in_python <- function(...) {
  layer <- layer_layer_normalization(...)
  py("repr(layer.get_config()['axis'])", layer = layer) # nolint: object_usage_linter.
}

test_that("whole numbers of every kind become Python ints", {
  skip_if_no_keras()
  expect_identical(axis_in_python(), "-1")
  expect_identical(axis_in_python(axis = 1), "1")
  expect_identical(axis_in_python(axis = 1L), "1")
  expect_identical(axis_in_python(axis = c(last = -1)), "-1")
  expect_identical(axis_in_python(axis = c(1, 2)), "[1, 2]")
  expect_identical(axis_in_python(axis = c(a = 1, b = 2)), "[1, 2]")
  expect_identical(axis_in_python(axis = list(1)), "[1]")
  expect_identical(axis_in_python(axis = list(a = 1, b = 2L)), "[1, 2]")
  expect_identical(axis_in_python(axis = array(c(1, 2))), "[1, 2]")
  expect_identical(axis_in_python(axis = reticulate::tuple(1L, 2L)), "(1, 2)")
  expect_identical(axis_in_python(axis = reticulate::tuple(1, 2)), "(1, 2)")
  expect_identical(axis_in_python(axis = reticulate::r_to_py(2L)), "2")
})

test_that("an empty tuple is an error, other Python objects are left to Python", {
  skip_if_no_keras()
  expect_argument_error(layer_layer_normalization(axis = reticulate::tuple()), "`axis` must be")
  expect_error(
    layer_layer_normalization(axis = py_keras()$Input(list(4L))),
    "axis must be an int", class = "python.builtin.TypeError"
  )
})

test_that("axis_base = 1 counts from 1, negative axes stay", {
  skip_if_no_keras()
  expect_identical(axis_in_python(axis = 1, axis_base = 1), "0")
  expect_identical(axis_in_python(axis = c(2, -1), axis_base = 1), "[1, -1]")
  expect_identical(axis_in_python(axis = reticulate::tuple(2L, 3L), axis_base = 1), "(1, 2)")
  expect_identical(axis_in_python(axis = 1, axis_base = 0), "1")
  withr::local_options(layernorm.axis_base = 1)
  expect_identical(axis_in_python(axis = 3), "2")
  expect_identical(axis_in_python(axis = 3, axis_base = 0), "3")
  layer <- layer_layer_normalization(axis = c(2, 3), param_axis = 3)
  expect_identical(layer$get_config()$param_axis, 2L)
})

test_that("0 is an error where axes count from 1", {
  expect_argument_error(
    layer_layer_normalization(axis = c(0, 2), axis_base = 1),
    "`axis` must be 1 or greater.*Received: axis = c\\(0, 2\\)"
  )
  expect_argument_error(
    layer_norm(matrix(1), param_axis = 0, axis_base = 1), "`param_axis` must be 1 or greater"
  )
})

test_that("with keras3 loaded an axis that is not negative is an error until axis_base is given", {
  skip_if_no_keras()
  local_fake_keras3()
  meanings <- "Write one of.*axis = 1, axis_base = 0 .*axis = 1, axis_base = 1 "
  expect_argument_error(layer_layer_normalization(axis = 1), meanings)
  expect_argument_error(layer_norm(matrix(1), axis = 1), meanings)
  expect_argument_error(
    layer_layer_normalization(axis = c(0, -1)), "axis = c\\(0, -1\\), axis_base = 1 "
  )
  expect_argument_error(layer_layer_normalization(param_axis = 1), "param_axis = 1, axis_base = 0")
  expect_argument_error(layer_norm(matrix(1), param_axis = 0), "param_axis = 0, axis_base = 0")
  expect_identical(axis_in_python(axis = -2), "-2")
  expect_identical(axis_in_python(axis = 1, axis_base = 0), "1")
  expect_identical(axis_in_python(axis = 1, axis_base = 1), "0")
  withr::local_options(layernorm.axis_base = 0)
  expect_identical(axis_in_python(axis = 1), "1")
})

test_that("shapes and sizes in ... become integers, NA and NULL become None", {
  skip_if_no_keras()
  built_for <- function(...) {
    model <- py_keras()$Sequential()
    suppressWarnings(layer_layer_normalization(model, ...))
    py("repr(tuple(model.inputs[0].shape))", model = model)
  }
  expect_identical(built_for(input_shape = c(3, 4)), "(None, 3, 4)")
  expect_identical(built_for(input_shape = 4), "(None, 4)")
  expect_identical(built_for(input_shape = c(NA, 4)), "(None, None, 4)")
  expect_identical(built_for(input_shape = list(NULL, 4)), "(None, None, 4)")
  expect_identical(built_for(input_shape = reticulate::tuple(3L, 4L)), "(None, 3, 4)")
  expect_identical(built_for(input_shape = c(NA_integer_, 4L)), "(None, None, 4)")
  expect_identical(built_for(input_dim = 4), "(None, 4)")
})

test_that("so do those that not every version of Keras takes", {
  for (arg in c("batch_shape", "batch_input_shape")) {
    dots <- structure(list(c(NA, 4)), names = arg)
    expect_identical(check_dots(dots, NULL), structure(list(list(NULL, 4L)), names = arg))
  }
  for (arg in c("batch_size", "seed")) {
    dots <- structure(list(5), names = arg)
    expect_identical(check_dots(dots, NULL), structure(list(5L), names = arg))
  }
  expect_identical(check_dots(list(seed = NULL), NULL), list(seed = NULL))
})
