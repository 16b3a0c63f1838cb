# Settings that reticulate cannot use, one per row: the variable, its value, and why.
# FOLDER stands for a folder with the files that `local_pythons()` makes.
useless <- list(
  c("RETICULATE_PYTHON", "FOLDER/env", "is the folder of a virtual environment, not the"),
  c("RETICULATE_PYTHON", "FOLDER/env/", "is the folder of a virtual environment, not the"),
  c("RETICULATE_PYTHON", "FOLDER", "is a folder without a Python"),
  c("RETICULATE_PYTHON", "FOLDER/none", "does not exist"),
  c("RETICULATE_PYTHON", "FOLDER/dangling", "does not exist"),
  c("RETICULATE_PYTHON", "", "is empty"),
  c("RETICULATE_PYTHON", "sh", "is a command, not a path"),
  c("RETICULATE_PYTHON", "FOLDER/bin/text", "is not executable"),
  c("RETICULATE_PYTHON", "FOLDER/bin/fails", "is not a Python that runs"),
  c("RETICULATE_PYTHON", "FOLDER/bin/talks", "is not a Python that runs"),
  c("RETICULATE_PYTHON", "FOLDER/bin/silent", "is not a Python that runs"),
  c("RETICULATE_PYTHON", "FOLDER/bin/deaf", "is not a Python that reticulate can use"),
  c("RETICULATE_PYTHON_ENV", "no_such_environment", "does not exist"),
  c("RETICULATE_PYTHON_ENV", "FOLDER/broken", "is a folder without a Python"),
  c("RETICULATE_PYTHON_FALLBACK", "FOLDER/none", "does not exist"),
  c("RETICULATE_PYTHON_FALLBACK", "FOLDER/env", "is the folder of a virtual environment, not the")
)

local_pythons <- function(python, env = parent.frame()) {
  folder <- normalizePath(withr::local_tempdir(.local_envir = env))
  program <- function(name, ...) {
    writeLines(c("#!/bin/sh", ...), file.path(folder, name))
    Sys.chmod(file.path(folder, name), "755")
  }
  # Without a folder for libraries beside it, reticulate does not even try a Python.
  for (name in c("bin", "lib", "env/bin", "env/lib", "broken/bin")) {
    dir.create(file.path(folder, name), recursive = TRUE)
  }
  program("env/bin/python", sprintf("exec %s \"$@\"", python))
  file.create(file.path(folder, c("env", "broken"), "pyvenv.cfg"))
  file.create(file.path(folder, c("env", "broken"), "bin", "activate"))
  file.symlink("/no/such/python", file.path(folder, "broken", "bin", "python"))
  file.symlink("/no/such/python", file.path(folder, "dangling"))
  writeLines("text", file.path(folder, "bin", "text"))
  program("bin/fails", "exit 1")
  program("bin/talks", "echo hello")
  program("bin/silent")
  # A Python, but one that does not run what reticulate asks it.
  program("bin/deaf", "case $1 in *.py) exit 1 ;; esac", sprintf("exec %s \"$@\"", python))
  folder
}

# Prints what the report says of the settings.
show_setting <- c(
  "plan <- layernorm:::planned_python()",
  "plan$ignored <- layernorm:::ignored_setting(plan)",
  "found <- layernorm:::setting_finding(plan)",
  "if (!is.null(found$problem)) cat(names(found$problem), found$problem, sep = '\\n')"
)

setting_problem <- function(python, env, before = character()) {
  home <- withr::local_tempdir()
  # nolint start: object_usage_linter.
  chosen <- replace(no_choice(home), names(env), env)
  run_r(
    c(first_on_path(python), before, show_setting), c(chosen, RETICULATE_USE_MANAGED_VENV = "no")
  )
  # nolint end
}

for (row in useless) {
  test_that(sprintf("%s = \"%s\" is a problem, with the value to set", row[1], row[2]), {
    skip_if_no_keras()
    python <- planned_python()$path
    folder <- local_pythons(python)
    value <- sub("FOLDER", folder, row[2])
    out <- setting_problem(python, setNames(value, row[1]))
    expect_match(
      out[1], sprintf("reticulate cannot use %s: \"%s\" %s", row[1], value, row[3]), fixed = TRUE
    )
    best <- if (grepl("env/?$", value)) file.path(folder, "env", "bin") else dirname(python)
    expect_match(out[2], sprintf("^Sys.setenv\\(RETICULATE_PYTHON = \"%s/python3?\"\\)$", best))
  })
}

test_that("a setting that reticulate takes is not a problem", {
  skip_if_no_keras()
  python <- planned_python()$path
  folder <- local_pythons(python)
  env_python <- file.path(folder, "env", "bin", "python")
  for (env in list(
    c(RETICULATE_PYTHON = python), c(RETICULATE_PYTHON = dirname(python)),
    c(RETICULATE_PYTHON = env_python), c(RETICULATE_PYTHON_FALLBACK = env_python),
    c(RETICULATE_PYTHON_ENV = file.path(folder, "env")), c(RETICULATE_PYTHON = "managed"),
    c(RETICULATE_PYTHON = python, RETICULATE_PYTHON_FALLBACK = "/no/such/python")
  )) {
    expect_identical(setting_problem(python, env), character(), info = names(env))
  }
})

test_that("a setting that a project's .Rprofile makes counts", {
  skip_if_no_keras()
  python <- planned_python()$path
  profile <- "Sys.setenv(RETICULATE_PYTHON = '/of/the/profile')"
  out <- setting_problem(python, c(RETICULATE_PYTHON = python), before = profile)
  expect_match(out[1], "\"/of/the/profile\" does not exist")
})

test_that("a setting made after Python has started has no effect", {
  skip_if_no_keras()
  python <- planned_python()$path
  folder <- local_pythons(python)
  late <- c(
    "reticulate::py_run_string('')",
    sprintf("Sys.setenv(RETICULATE_PYTHON = '%s')", file.path(folder, "env", "bin", "python"))
  )
  out <- utils::tail(setting_problem(python, c(RETICULATE_PYTHON = python), before = late), 2)
  expect_match(out[1], "was set after Python had started; it has started", fixed = TRUE)
  expect_match(out[2], "after restarting R", fixed = TRUE)
})

test_that("a broken environment in the working directory is not silent", {
  skip_if_no_keras()
  python <- planned_python()$path
  folder <- local_pythons(python)
  file.rename(file.path(folder, "broken"), file.path(folder, ".venv"))
  show <- c(
    first_on_path(python), sprintf("setwd('%s')", folder),
    "plan <- layernorm:::planned_python()",
    "cat(layernorm:::problem_with_start(plan))"
  )
  home <- withr::local_tempdir()
  out <- run_r(show, c(no_choice(home), RETICULATE_USE_MANAGED_VENV = "no"))
  expect_match(out, "or this folder does not work; reticulate would start")
})

test_that("without any better one the value to set is left to the user", {
  withr::local_envvar(PATH = withr::local_tempdir())
  expect_identical(suggested_python("/no/such/python"), "/path/to/python")
  expect_identical(set_python("/a b"), "Sys.setenv(RETICULATE_PYTHON = \"/a b\")")
})
