# Which py_layernorm serves: Python's own, or the one inside this package.

test_that("Python's own serves if it is of the same version or newer", {
  skip_if_no_keras()
  python <- local_bare_python()
  ours <- as.character(utils::packageVersion("layernorm"))
  choose <- function(folder) withr::with_envvar(c(PYTHONPATH = folder), planned_module(python))
  for (version in c(ours, paste0(ours, ".1"), "1.0", "0.10.0", "12.0.0.dev3")) {
    choice <- choose(local_module(version))
    expect_identical(choice[c("serves", "python")], list(serves = "python", python = version))
  }
  for (version in c("0.0.9", "0.0.99", "0.0.1rc1")) {
    choice <- choose(local_module(version))
    expect_identical(choice[c("serves", "python")], list(serves = "package", python = version))
  }
  choice <- choose(withr::local_tempdir())
  expect_identical(choice$serves, "package")
  expect_identical(choice$package, ours)
  expect_identical(choice$path, file.path(bundled(), "py_layernorm"))
})

test_that("without one in Python, the package's trains, saves and loads", {
  skip_if_no_keras()
  python <- local_python_without_module()
  file <- withr::local_tempfile(fileext = ".keras")
  env <- c(RETICULATE_PYTHON = python, PYTHONPATH = "", LAYERNORM_FILE = file)
  where <- "reticulate::import('py_layernorm')$`__path__`"
  out <- run_r(
    c(
      "x <- matrix(sin(1:40), 10)",
      "keras <- reticulate::import('keras')",
      "model <- keras$Sequential(list(keras$Input(list(4L)))) |>",
      "  layer_layer_normalization(axis = -1) |> compose_layer(keras$layers$Dense(1L))",
      "model$compile('adam', 'mse')",
      "invisible(model$fit(x, x[, 1, drop = FALSE], verbose = 0L))",
      "model$save(Sys.getenv('LAYERNORM_FILE'))",
      sprintf("cat('PATH', unlist(%s), '\n')", where),
      "cat('ENGINE', reticulate::import('py_layernorm.engines')$describe()[[1]], '\n')",
      "cat('PREDICTS', format(model$predict(x, verbose = 0L)[1], digits = 6), '\n')"
    ),
    env
  )
  expect_true(paste("PATH", file.path(bundled(), "py_layernorm")) %in% trimws(out))
  # Loading a file needs no call of this package's before.
  loaded <- run_r(
    c(
      "keras <- reticulate::import('keras')",
      "model <- keras$models$load_model(Sys.getenv('LAYERNORM_FILE'))",
      "x <- matrix(sin(1:40), 10)",
      "cat('PREDICTS', format(model$predict(x, verbose = 0L)[1], digits = 6), '\n')"
    ),
    env
  )
  predicted <- function(lines) trimws(grep("^PREDICTS", lines, value = TRUE))
  expect_length(predicted(out), 1)
  expect_identical(predicted(loaded), predicted(out))

  # Libraries are there where the package was compiled, and no compiler is a matter of its own.
  skip_if_not(file.exists(file.path(bundled(), "py_layernorm", "native", "libpy_layernorm_op.so")))
  expect_true("ENGINE fused" %in% trimws(out))
})

test_that("there is never more than one in a process", {
  skip_if_no_keras()
  python <- local_python_without_module()
  folder <- local_module("0.0.1")
  import <- c(
    "first <- reticulate::import('py_layernorm')", "cat('VERSION', first$`__version__`, '\n')"
  )
  report <- c(
    "cat('SERVES', layernorm:::choose_module()$serves, '\n')",
    "report <- layernorm_sitrep()",
    "cat('PROBLEM', names(report$problems)[1], '\n')"
  )
  env <- c(RETICULATE_PYTHON = python, PYTHONPATH = folder)
  library_paths <- load_layernorm()[1]
  # Imported before this package is loaded, an older one stays, and is reported.
  before <- run_r(c(import, load_layernorm(), report), env, load = library_paths)
  expect_true(all(c("VERSION 0.0.1", "SERVES python") %in% trimws(before)))
  expect_match(
    before, "PROBLEM an older py_layernorm, 0.0.1, was imported before this package", all = FALSE
  )
  # Imported afterwards, it is the package's.
  after <- run_r(c(import, report), env)
  ours <- as.character(utils::packageVersion("layernorm"))
  expect_true(all(c(paste("VERSION", ours), "SERVES package") %in% trimws(after)))
  expect_match(after, "inside this package; Python's own, 0.0.1, is older", all = FALSE)
})
