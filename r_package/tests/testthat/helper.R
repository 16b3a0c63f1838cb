# Skips a test where Keras is not there, which the module needs. In CI that is a failure.
skip_if_no_keras <- function() {
  if (has_keras()) {
    return(invisible())
  }
  if (identical(Sys.getenv("CI"), "true")) {
    stop("Python has no Keras, and in CI it must.")
  }
  testthat::skip("Python has no Keras")
}

skip_if_no_keras3 <- function() {
  testthat::skip_if_not_installed("keras3")
  skip_if_no_keras()
}

py_keras <- function() reticulate::import("keras")

# Keras takes any function as a regularizer or a constraint from 3.15 on.
skip_without_functions <- function() {
  version <- package_version(py_keras()$`__version__`)
  if (version < "3.15") testthat::skip("Keras older than 3.15 takes no function as a regularizer")
}

# A model of `features` inputs, with Keras's automatic names counted anew.
new_model <- function(features = 4L) {
  py_keras()$utils$clear_session()
  py_keras()$Sequential(list(py_keras()$Input(list(features))))
}

layer_names <- function(model) {
  vapply(model$layers, function(layer) layer$name, "")
}

# Evaluates Python code with R values bound to names, such as `py("x + 1", x = 1)`.
py <- function(code, ...) {
  values <- list(...)
  f <- reticulate::py_eval(sprintf("lambda %s: %s", toString(names(values)), code))
  do.call(f, unname(values), quote = TRUE)
}

# The formula in R's doubles; `margin` are the dimensions that are kept, counted from 1.
reference_norm <- function(x, margin, epsilon = 0.001) {
  d <- sweep(x, margin, apply(x, margin, mean))
  sweep(d, margin, sqrt(apply(d^2, margin, mean) + epsilon), "/")
}

# Numbers from -5 to 5 that look random and are the same everywhere.
numbers <- function(...) {
  dim <- c(...)
  array(5 * sin(seq_len(prod(dim))^2), dim = dim)
}

expect_argument_error <- function(code, regexp) {
  testthat::expect_error(code, regexp, class = "layernorm_argument_error")
}

expect_session_works <- function() {
  x <- numbers(3, 4)
  testthat::expect_equal(layer_norm(x), reference_norm(x, 1), tolerance = 1e-12)
}

# Runs R code in a process of its own, after what loads this package; returns the lines that it
# prints, with its exit status.
run_r <- function(code, env = character(), load = load_layernorm()) {
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(load, code), script)
  withr::local_envvar(env)
  rscript <- file.path(R.home("bin"), "Rscript")
  suppressWarnings(
    system2(rscript, c("--no-save", "--no-restore", shQuote(script)), stdout = TRUE, stderr = TRUE)
  )
}

# The code that loads this package there: the installed one, or the sources that pkgload loaded.
load_layernorm <- function() {
  path <- getNamespaceInfo("layernorm", "path")
  c(
    sprintf(".libPaths(%s)", paste(deparse(.libPaths()), collapse = "")),
    if (file.exists(file.path(path, "Meta"))) {
      sprintf("library(layernorm, lib.loc = %s)", deparse(dirname(path)))
    } else {
      sprintf("pkgload::load_all(%s, quiet = TRUE)", deparse(path))
    }
  )
}

# Loads an empty package by the name of keras3 until the test ends.
local_fake_keras3 <- function(env = parent.frame()) {
  if (isNamespaceLoaded("keras3")) {
    return(invisible())
  }
  folder <- withr::local_tempdir(.local_envir = env)
  source <- file.path(withr::local_tempdir(), "keras3")
  dir.create(source)
  writeLines(
    c("Package: keras3", "Version: 1.0.0", "Title: Fake", "Description: Fake.", "License: MIT"),
    file.path(source, "DESCRIPTION")
  )
  file.create(file.path(source, "NAMESPACE"))
  utils::install.packages(
    source, folder,
    repos = NULL, type = "source", quiet = TRUE, INSTALL_opts = "--no-docs"
  )
  loadNamespace("keras3", lib.loc = folder)
  withr::defer(unloadNamespace("keras3"), envir = env)
}

# Environment variables of a user who has chosen no Python, with `home` as the home folder.
no_choice <- function(home) {
  c(
    RETICULATE_PYTHON = NA, RETICULATE_PYTHON_ENV = NA, RETICULATE_PYTHON_FALLBACK = NA,
    VIRTUAL_ENV = NA, HOME = home, WORKON_HOME = home, `_R_CHECK_PACKAGE_NAME_` = NA
  )
}

# R code after which R finds no programs but the one that it needs to clean up.
hide_programs <- function(env = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = env)
  file.symlink(Sys.which("rm"), file.path(folder, "rm"))
  sprintf("Sys.setenv(PATH = %s)", deparse(folder))
}

# R code after which the programs beside `python` are found first.
first_on_path <- function(python) {
  sprintf("Sys.setenv(PATH = paste0('%s:', Sys.getenv('PATH')))", dirname(python))
}

# A virtual environment without any packages; returns the path of its Python.
local_bare_python <- function(env = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = env)
  base <- planned_python()$path
  status <- run_program(base, c("-m", "venv", "--without-pip", folder))$status
  if (status != 0) testthat::skip("Python's venv module is not installed")
  file.path(folder, "bin", "python")
}

# A Python with everything that this one has, except for a py_layernorm of its own.
local_python_without_module <- function(env = parent.frame()) {
  python <- local_bare_python(env)
  code <- "import sys; print(*(p for p in sys.path if p.endswith('-packages')), sep='\\n')"
  folders <- run_program(planned_python()$path, c("-c", code))$out
  site <- Sys.glob(file.path(dirname(dirname(python)), "lib", "python3*", "site-packages"))
  writeLines(folders, file.path(site, "borrowed.pth")) # the .pth files there are not read
  if (has_own_module(python)) testthat::skip("py_layernorm cannot be told from the other packages")
  python
}

has_own_module <- function(python) {
  code <- "import importlib.util as u; print(u.find_spec('py_layernorm') is not None)"
  identical(run_program(python, c("-c", code))$out, "True")
}

# A folder that holds a py_layernorm of that version, and nothing else.
local_module <- function(version, env = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = env)
  dir.create(file.path(folder, "py_layernorm"))
  code <- sprintf("__version__ = \"%s\"", version)
  writeLines(code, file.path(folder, "py_layernorm", "__init__.py"))
  folder
}
