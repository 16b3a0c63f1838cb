show_problems <- "cat('PROBLEM', names(report$problems), '->', report$problems, '\\n')"

sitrep <- function(env, before = character(), after = character()) {
  code <- c(before, "report <- layernorm_sitrep()", show_problems, after)
  out <- run_r(code, env) # nolint: object_usage_linter.
  paste(out, collapse = "\n")
}

test_that("before Python has started it reports, and starts none", {
  skip_if_no_keras()
  python <- planned_python()$path
  out <- sitrep(
    c(RETICULATE_PYTHON = python), after = "cat('STARTED', reticulate::py_available())"
  )
  expect_match(out, paste0("R +", getRversion()))
  expect_match(out, "reticulate +1[.]")
  expect_match(out, paste0("RETICULATE_PYTHON +", python))
  expect_match(out, "RETICULATE_PYTHON takes precedence over use_python()", fixed = TRUE)
  expect_match(out, paste0("Python +", python, " \\(3[.][0-9]+\\), not started, chosen by RETIC"))
  expect_match(out, "Keras +found\n")
  expect_match(out, "py_layernorm +[0-9.]+, ")
  expect_match(out, "keras3 +not loaded\n")
  expect_match(out, "axis_base +not set; axes count from 0\n")
  expect_match(out, "self-check +ok")
  expect_match(out, "No problems in R.\n", fixed = TRUE)
  expect_match(out, "STARTED FALSE")
})

test_that("once Python has started it says so, and what that means", {
  skip_if_no_keras()
  expect_session_works()
  out <- capture.output(report <- withVisible(layernorm_sitrep()))
  expect_false(report$visible)
  expect_identical(report$value$lines, out)
  expect_true(report$value$started)
  expect_length(report$value$problems, 0)
  text <- paste(out, collapse = "\n")
  expect_match(text, paste0(reticulate::py_exe(), " \\([0-9.]+\\), started"))
  expect_match(text, "use_python() has no effect now", fixed = TRUE)
  expect_match(text, "self-check +ok")
})

test_that("a Python without Keras comes with the command that installs it", {
  skip_if_no_keras()
  python <- local_bare_python()
  out <- sitrep(c(RETICULATE_PYTHON = python, PYTHONPATH = ""))
  expect_match(out, "Keras +not found")
  expect_match(out, "1 problem\n")
  expect_match(
    out,
    sprintf(
      "PROBLEM Keras is not installed for %s -> %s", python,
      install_command(python)
    ),
    fixed = TRUE
  )
})

test_that("a RETICULATE_PYTHON that does not exist comes with the value to set", {
  skip_if_no_keras()
  python <- planned_python()$path
  env <- c(RETICULATE_PYTHON = "/no/such/python", RETICULATE_USE_MANAGED_VENV = "no")
  out <- sitrep(env, before = first_on_path(python))
  expect_match(out, "1 problem\n")
  expect_match(
    out,
    paste(
      "- reticulate cannot use RETICULATE_PYTHON: \"/no/such/python\" does not exist;",
      "it finds no Python"
    ),
    fixed = TRUE
  )
  value <- file.path(dirname(python), "python3")
  expect_match(out, sprintf("    Sys.setenv(RETICULATE_PYTHON = \"%s\")", value), fixed = TRUE)
})

test_that("it works without any Python", {
  home <- withr::local_tempdir()
  env <- c(no_choice(home), RETICULATE_USE_MANAGED_VENV = "no")
  out <- sitrep(env, before = hide_programs())
  expect_match(out, "Python +reticulate finds none: no Python was found")
  expect_match(out, "RETICULATE_PYTHON +not set")
  expect_match(
    out,
    paste(
      "PROBLEM there is no Python that reticulate could start",
      "-> Sys.setenv(RETICULATE_PYTHON = \"/path/to/python\")"
    ),
    fixed = TRUE
  )
})

test_that("an environment that reticulate would create is no problem, and is not created", {
  home <- withr::local_tempdir()
  out <- sitrep(c(RETICULATE_PYTHON = "managed", HOME = home))
  expect_match(out, "Python +none chosen: reticulate creates an environment of its own")
  expect_match(out, "py_layernorm +[0-9.]+, inside this package\n")
  expect_match(out, "No problems in R.\n", fixed = TRUE)
  expect_length(list.files(home, all.files = TRUE, no.. = TRUE), 0)
})

test_that("keras3 and axis_base are reported", {
  local_fake_keras3()
  text <- paste(render_findings(axis_findings()), collapse = "\n")
  expect_match(text, "keras3 +loaded; counts axes from 1\n")
  expect_match(text, "not set, so an axis >= 0 is an error")
  expect_match(text, "options(layernorm.axis_base = 0)", fixed = TRUE)
  withr::local_options(layernorm.axis_base = 1)
  text <- paste(render_findings(axis_findings()), collapse = "\n")
  expect_match(text, "axes count from 1, by options(layernorm.axis_base)", fixed = TRUE)
})

test_that("an old reticulate comes with the command that renews it", {
  problems <- unlist(lapply(r_findings(package_version("1.40.9")), function(f) f$problem))
  expect_identical(
    problems, c("reticulate is older than 1.41" = "install.packages(\"reticulate\")")
  )
  expect_identical(
    render_problems(problems),
    c("1 problem", "- reticulate is older than 1.41", "    install.packages(\"reticulate\")")
  )
})

test_that("a module whose own report fails is a problem", {
  skip_if_no_keras()
  python <- local_bare_python()
  folder <- withr::local_tempdir()
  for (name in c("keras", "py_layernorm")) dir.create(file.path(folder, name))
  writeLines("__version__ = \"99.0\"", file.path(folder, "py_layernorm", "__init__.py"))
  out <- sitrep(c(RETICULATE_PYTHON = python, PYTHONPATH = folder))
  expect_match(out, "py_layernorm +99.0, Python's own")
  expect_match(out, "PROBLEM the module py_layernorm is there, but its own report fails -> ")
  expect_match(
    out, sprintf("-> %s %s %s --no-r", python, choice_file(), bundled()), fixed = TRUE
  )
})

test_that("a module that does not work is a problem", {
  skip_if_no_keras()
  out <- sitrep(c(PY_LAYERNORM_THREADS = "-1"))
  expect_match(out, "PROBLEM the module py_layernorm does not work in this Python; its report is")
  expect_match(out, "unset PY_LAYERNORM_THREADS")
})

test_that("a Python that reticulate cannot start is a problem", {
  skip_if_no_keras()
  python <- planned_python()$path
  folder <- withr::local_tempdir()
  static <- file.path(folder, "bin", "python")
  for (name in c("bin", "lib")) dir.create(file.path(folder, name))
  writeLines(
    c(
      "#!/bin/sh", # runs as that Python, and hides from reticulate where its library is
      sprintf("case \"$1\" in *config.py) %s \"$1\" | grep -v '^LIB\\|^Base' ;;", python),
      sprintf("*) exec %s \"$@\" ;; esac", python)
    ),
    static
  )
  Sys.chmod(static, "755")
  out <- sitrep(c(RETICULATE_PYTHON = static), before = first_on_path(python))
  expect_match(out, sprintf("PROBLEM reticulate cannot start %s: Python shared lib", static))
  value <- sprintf("-> Sys.setenv(RETICULATE_PYTHON = \"%s", dirname(python))
  expect_match(out, value, fixed = TRUE)
})
