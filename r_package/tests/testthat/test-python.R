test_that("loading the package starts no Python and asks for nothing", {
  out <- run_r(c(
    "cat(setdiff(reticulate::py_require()$packages, 'numpy'), '\\n')",
    "cat(reticulate::py_available(), '\\n')"
  ))
  expect_identical(trimws(out), c("", "FALSE"))
})

test_that("packages are asked for when Python starts, by whatever starts it", {
  skip_if_no_keras()
  asked <- "cat('ASKED', sort(setdiff(reticulate::py_require()$packages, 'numpy')))"
  asked_after <- function(start, env = character()) {
    utils::tail(run_r(c(start, asked), c(KERAS_BACKEND = NA, env)), 1)
  }
  both <- paste("ASKED", paste(requirements, collapse = " "))
  expect_identical(asked_after("invisible(get_engine())"), both)
  expect_identical(asked_after("invisible(reticulate::import('keras'))"), both)
  # A front end, or another package, has its own option.
  expect_identical(asked_after(c(
    "options(reticulate.python.beforeInitialized = NULL)", "invisible(get_engine())"
  )), both)
  expect_match(asked_after(c(
    "unloadNamespace('layernorm')",
    "options(reticulate.python.beforeInitialized = function() cat('BEFORE\\n'))",
    load_layernorm(), "reticulate::py_run_string('')",
    "before <- getOption('reticulate.python.beforeInitialized')", "before()"
  )), both)
})

test_that("only what nobody has asked for, and no TensorFlow for another backend", {
  expect_identical(missing_packages("numpy", "tensorflow"), unname(requirements))
  expect_identical(missing_packages("keras", "tensorflow"), requirements[["tensorflow"]])
  for (other in c(
    "tensorflow", "tensorflow-cpu", "tensorflow[and-cuda]", "tensorflow-cpu>=2.18", "tf-nightly",
    "Tensorflow==2.20", "tensorflow_cpu ~= 2.18"
  )) {
    expect_null(missing_packages(c("keras==3.14", other), "tensorflow"))
  }
  for (other in c("tensorflow-datasets", "keras-hub", "tensorflow_hub")) {
    expect_identical(missing_packages(other, "tensorflow"), unname(requirements))
  }
  expect_identical(missing_packages("jax[cpu]", "jax"), requirements[["keras"]])
  expect_null(missing_packages(c("keras", "torch"), "torch"))
})

test_that("in R CMD check nothing is downloaded, and nothing left in the home folder", {
  show <- paste(
    "cat(Sys.getenv('RETICULATE_USE_MANAGED_VENV', 'unset'),",
    "all(dirname(Sys.getenv(c('KERAS_HOME', 'MPLCONFIGDIR'))) == tempdir()), '')"
  )
  forget <- "Sys.unsetenv(c('KERAS_HOME', 'MPLCONFIGDIR'))"
  settings <- c(show, forget, "layernorm:::.onLoad()", show)
  unset <- c(RETICULATE_USE_MANAGED_VENV = NA, KERAS_HOME = NA, MPLCONFIGDIR = NA)
  in_check <- run_r(settings, c(unset, `_R_CHECK_PACKAGE_NAME_` = "layernorm"))
  expect_identical(in_check, "no TRUE no TRUE ")
  elsewhere <- run_r(settings, c(unset, `_R_CHECK_PACKAGE_NAME_` = NA))
  expect_identical(elsewhere, "unset FALSE unset FALSE ")
  chosen <- c(KERAS_HOME = "/chosen", `_R_CHECK_PACKAGE_NAME_` = "layernorm")
  expect_identical(run_r("cat(Sys.getenv('KERAS_HOME'))", chosen), "/chosen")
})

test_that("the package loads after Python has started, and without any Python", {
  skip_if_no_keras()
  out <- run_r(c(
    "unloadNamespace('layernorm')",
    "invisible(reticulate::py_config())",
    load_layernorm(),
    "cat(reticulate::py_available(), is.function(layer_norm))"
  ))
  expect_identical(utils::tail(out, 1), "TRUE TRUE")
  out <- run_r("cat(is.function(layer_norm))", c(RETICULATE_PYTHON = "/no/such/python"))
  expect_identical(out, "TRUE")
})

test_that("a missing Keras is one error with the interpreter and the command", {
  skip_if_no_keras()
  python <- local_bare_python()
  out <- run_r(
    c(
      "error <- tryCatch(layer_layer_normalization(), error = identity)",
      "cat(class(error)[1], conditionMessage(error), sep = '\\n')"
    ),
    c(RETICULATE_PYTHON = python, PYTHONPATH = "")
  )
  expect_identical(out[1], "layernorm_python_error")
  expect_identical(
    out[2], sprintf("The Python in use, %s, cannot import py_layernorm.r.bridge.", python)
  )
  expect_match(out[3], "No module named 'keras'")
  expect_identical(
    out[5], sprintf("  %s -m pip install \"keras>=3.12\" \"tensorflow>=2.18\"", python)
  )
})

test_that("without any Python there is one error that says where to look", {
  out <- run_r(
    c(
      "error <- tryCatch(layer_norm(matrix(1)), error = identity)",
      "cat(class(error)[1], conditionMessage(error), sep = '\\n')"
    ),
    c(RETICULATE_PYTHON = "/no/such/python")
  )
  expect_identical(
    out[1:2],
    c("layernorm_python_error", "layernorm needs Python, and reticulate could not start it.")
  )
  expect_match(out[3], "/no/such/python")
  expect_match(out[4], "`layernorm_sitrep\\(\\)`")
})

test_that("the module is imported once, and gives converted results", {
  skip_if_no_keras()
  expect_identical(bridge(), bridge())
  layer <- layer_layer_normalization()
  expect_identical(layer$trainable, TRUE)
  expect_identical(layer$get_config()$epsilon, 0.001)
  # Imported without conversion, a layer called from R fails: "could not find function".
  expect_equal(as_r_array(layer(numbers(3, 4))), reference_norm(numbers(3, 4), 1), tolerance = 1e-6)
})

test_that("settings made after Python has started hold", {
  skip_if_no_keras()
  run_with <- function(name, value) {
    run_r(c(
      "reticulate::py_run_string('')",
      sprintf("Sys.setenv(PY_LAYERNORM_%s = '%s')", name, value),
      "said <- tryCatch(as.list(layer_norm(matrix(1:4, 2)))[[1]], error = conditionMessage)",
      "engines <- reticulate::import('py_layernorm.engines')",
      "cat('\\n', sub('\n.*', '', said), '\n', sep = '')",
      "cat(engines$get_engine())"
    ))
  }
  expect_identical(utils::tail(run_with("ENGINE", "portable"), 1), "portable")
  for (setting in list(c("THREADS", "many"), c("THREADS", "4294967296"), c("ISA", "many"))) {
    expect_match(
      run_with(setting[1], setting[2]),
      sprintf("PY_LAYERNORM_%s must be .* Received: .*'%s'", setting[1], setting[2]),
      all = FALSE
    )
  }
})
