test_that("a Python that runs is found", {
  skip_if_no_keras()
  reticulate::py_config()
  plan <- planned_python()
  expect_true(plan$started)
  expect_identical(plan$path, reticulate::py_exe())
})

test_that("settings are told apart without starting Python", {
  show <- c(
    "plan <- layernorm:::planned_python()",
    "cat(plan$managed, is.null(plan$path), plan$started)"
  )
  home <- withr::local_tempdir()
  alone <- no_choice(home)
  use <- function(value) c(RETICULATE_USE_MANAGED_VENV = value)
  expect_identical(run_r(show, c(alone, use("yes"))), "TRUE TRUE FALSE")
  expect_identical(run_r(show, c(alone, use(NA))), "TRUE TRUE FALSE")
  expect_identical(
    run_r(show, c(RETICULATE_PYTHON = "managed", HOME = home)), "TRUE TRUE FALSE"
  )
  expect_identical(
    run_r(c(hide_programs(), show), c(alone, use("no"))), "FALSE TRUE FALSE"
  )
  expect_length(list.files(home, all.files = TRUE, no.. = TRUE), 0)
})

test_that("a Python that reticulate cannot ask is a problem, not an error", {
  home <- withr::local_tempdir()
  code <- c(
    hide_programs(),
    "python <- file.path(Sys.getenv('PATH'), 'python3')",
    "writeLines(c('#!/bin/sh', 'exit 1'), python)",
    "Sys.chmod(python, '755')",
    "cat(is.character(layernorm:::planned_python()$problem))"
  )
  expect_identical(run_r(code, c(no_choice(home), RETICULATE_USE_MANAGED_VENV = "no")), "TRUE")
})
