threads <- function() reticulate::import("py_layernorm.engines.kernel")$Kernel()$threads

test_that("the number of threads is set", {
  skip_if_no_keras()
  before <- threads()
  withr::defer(set_threads(before))
  expect_null(set_threads(3))
  expect_identical(threads(), 3L)
  expect_false(withVisible(set_threads(2))$visible)
  expect_session_works()
})

test_that("a number out of range is an error, and changes nothing", {
  skip_if_no_keras()
  before <- threads()
  for (number in c(0, 257, -1)) {
    expect_error(set_threads(number), "threads must be an int from 1 to 256")
  }
  expect_identical(threads(), before)
})
