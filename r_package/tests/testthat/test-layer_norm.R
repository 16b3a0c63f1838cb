test_that("doubles give Python's numbers, bit for bit, and the formula's", {
  skip_if_no_keras()
  python <- reticulate::py_run_string(
    "
import numpy as np
import py_layernorm as pl
x = np.random.default_rng(1).normal(size=(5, 3, 4)) * 7 + 100
gamma, beta = np.arange(4.0) + 0.1, np.arange(4.0) - 2
last = np.asarray(pl.layer_norm(x, gamma, beta))
several = np.asarray(pl.layer_norm(x, gamma, axis=(1, 2), param_axis=-1, epsilon=0))
transposed = np.asarray(pl.layer_norm(np.asfortranarray(x), axis=0))
",
    local = TRUE
  )
  x <- python$x
  gamma <- as.vector(python$gamma)
  expect_identical(layer_norm(x, gamma, as.vector(python$beta)), python$last)
  expect_identical(
    layer_norm(x, gamma, axis = c(1, 2), param_axis = -1, epsilon = 0), python$several
  )
  expect_identical(layer_norm(x, axis = 0), python$transposed)
  expect_equal(layer_norm(x, axis = 0), reference_norm(x, c(2, 3)), tolerance = 1e-12)
})

test_that("dim and dimnames are kept", {
  skip_if_no_keras()
  x <- as.matrix(iris[1:3, 1:4])
  y <- layer_norm(x)
  expect_identical(attributes(y), attributes(x))
  expect_equal(y, reference_norm(x, 1), tolerance = 1e-12)
  vector <- array(c(1, 2, 4), dimnames = list(letters[1:3]))
  expect_identical(attributes(layer_norm(vector)), attributes(vector))
  expect_identical(dim(layer_norm(numbers(2, 3, 4))), 2:4)
  expect_identical(layer_norm(matrix(0, 0, 3)), matrix(0, 0, 3))
})

test_that("integers and logicals work, and NA among them stays in its row", {
  skip_if_no_keras()
  x <- matrix(c(1L, 20L, 2L, 40L, 4L, 90L), 2)
  expect_equal(layer_norm(x), reference_norm(x, 1), tolerance = 1e-6)
  expect_equal(layer_norm(x > 3), reference_norm((x > 3) + 0, 1), tolerance = 1e-6)
  x[1, 2] <- NA
  y <- layer_norm(x)
  expect_true(all(is.na(y[1, ])))
  expect_equal(y[2, , drop = FALSE], reference_norm(x[2, , drop = FALSE], 1), tolerance = 1e-12)
  expect_true(all(is.na(layer_norm(matrix(NA, 2, 3)))))
})

test_that("vectors, arrays and tensors serve as gamma and beta", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  y <- reference_norm(x, 1)
  gamma <- c(1, 2, 3, 4)
  scaled <- sweep(y, 2, gamma, "*")
  expect_equal(layer_norm(x, gamma), scaled, tolerance = 1e-12)
  expect_equal(layer_norm(x, as.integer(gamma)), scaled, tolerance = 1e-12)
  expect_equal(layer_norm(x, array(gamma)), scaled, tolerance = 1e-12)
  expect_equal(layer_norm(x, c(a = 1, b = 2, c = 3, d = 4)), scaled, tolerance = 1e-12)
  tensor <- py_keras()$ops$convert_to_tensor(array(gamma))
  expect_equal(layer_norm(x, tensor), scaled, tolerance = 1e-12)
  expect_equal(layer_norm(x, beta = gamma), sweep(y, 2, gamma, "+"), tolerance = 1e-12)

  column <- numbers(3, 1)
  expect_equal(layer_norm(column, 2, 5), matrix(5, 3, 1))
  both <- matrix(1:12 / 2, 3, 4)
  cube <- numbers(2, 3, 4)
  expect_equal(
    layer_norm(cube, both, axis = c(1, 2)),
    sweep(reference_norm(cube, 1), c(2, 3), both, "*"),
    tolerance = 1e-12
  )
})

test_that("epsilon and axis_base reach Python", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  expect_equal(layer_norm(x, epsilon = 2), reference_norm(x, 1, 2), tolerance = 1e-12)
  expect_equal(layer_norm(x, epsilon = NULL), reference_norm(x, 1, 1e-14), tolerance = 1e-9)
  expect_equal(layer_norm(x, axis = 1, axis_base = 1), reference_norm(x, 2), tolerance = 1e-12)
  expect_equal(layer_norm(x, axis = 1, axis_base = 0), reference_norm(x, 1), tolerance = 1e-12)
})

test_that("a tensor gives a tensor of its dtype", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  tensor <- py_keras()$ops$convert_to_tensor(x, dtype = "float32")
  y <- layer_norm(tensor)
  expect_identical(py("str(y.dtype.name)", y = y), "float32")
  expect_equal(as_r_array(y), reference_norm(x, 1), tolerance = 1e-6)
  symbolic <- layer_norm(py_keras()$Input(list(4L)))
  expect_true(py_keras()$utils$is_keras_tensor(symbolic))
})

test_that("what only Python can tell is an error from Python", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  value_error <- "python.builtin.ValueError"
  expect_error(layer_norm(x, axis = 2), "axis must lie between", class = value_error)
  expect_error(layer_norm(x, 1:3), "gamma must have the shape", class = value_error)
  expect_session_works()
})

test_that("x is left as it was", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  copy <- x + 0
  layer_norm(x)
  expect_identical(x, copy)
})

test_that("a matrix goes to Python without a copy", {
  skip_if_no_keras()
  spy <- reticulate::py_run_string(
    "
def watch(module=__import__('py_layernorm')):
    own, seen = module.layer_norm, []
    def spy(x, **kwargs):
        seen.append(x)
        return own(x, **kwargs)
    def undo():
        module.layer_norm = own
    module.layer_norm = spy
    return undo, lambda: len({x.ctypes.data for x in seen})
",
    local = TRUE
  )$watch()
  withr::defer(spy[[1]]())
  x <- numbers(3, 4)
  for (i in 1:2) layer_norm(x)
  expect_identical(spy[[2]](), 1L) # two copies, both kept, would lie in two places
  layer_norm(x + 0)
  expect_identical(spy[[2]](), 2L)
})
