#' What layernorm finds on this machine
#'
#' The first thing to run when something does not work. It prints the versions of R and its
#' packages, the Python that runs or would be started and why, which `py_layernorm` serves, how axes
#' are counted, and then the module's own report, the same as `python -m py_layernorm` prints in a
#' shell. Each problem comes with the command that fixes it.
#'
#' The Python module `py_layernorm` is part of this package. Where the Python in use has one of the
#' same version or a newer one, that one serves instead.
#'
#' Two common traps in choosing a Python are explained when they apply:
#'
#' * The environment variable `RETICULATE_PYTHON` takes precedence over [reticulate::use_python()].
#' * [reticulate::use_python()] has no effect once Python has started, and any call into Python
#'   starts it.
#'
#' It does not start Python in this session, and it downloads nothing.
#'
#' @return Invisibly, a list: `lines`, the text printed; `problems`, a character vector of the
#'   commands that fix what is wrong, each named by the problem, empty if all is well; `python`, the
#'   path of the Python found, or `NULL`; `started`, whether it runs in this session.
#' @section Errors:
#' None: what is wrong is part of the report.
#'
#' @references The report of the Python module, `python -m py_layernorm`; [reticulate::use_python()]
#'   on the order in which Pythons are found.
#' @export
#' @examplesIf layernorm:::has_keras()
#' layernorm_sitrep()
layernorm_sitrep <- function() {
  plan <- planned_python()
  plan$ignored <- ignored_setting(plan)
  has_keras <- has_keras(plan)
  findings <- c(
    r_findings(),
    list(setting_finding(plan), python_finding(plan)),
    if (!is.null(plan$path)) list(keras_finding(plan, has_keras)),
    list(module_finding(module_of(plan))),
    axis_findings()
  )
  report <- if (has_keras) doctor_report(plan)
  problems <- c(unlist(lapply(findings, function(f) f$problem)), report$problem)
  lines <- c(render_findings(findings), "", render_problems(problems), "", report$lines)
  writeLines(lines)
  invisible(
    list(lines = lines, problems = problems, python = plan$path, started = plan$started)
  )
}

finding <- function(label, value, problem = NULL, fix = NULL, note = NULL) {
  if (!is.null(problem)) names(fix) <- problem
  list(label = label, value = value, problem = fix, note = note)
}

r_findings <- function(reticulate = utils::packageVersion("reticulate")) {
  old <- reticulate < "1.41"
  list(
    finding("R", as.character(getRversion())),
    finding("layernorm", as.character(utils::packageVersion("layernorm"))),
    finding(
      "reticulate", as.character(reticulate),
      problem = if (old) "reticulate is older than 1.41",
      fix = if (old) "install.packages(\"reticulate\")"
    )
  )
}

setting_finding <- function(plan) {
  ignored <- plan$ignored
  value <- Sys.getenv("RETICULATE_PYTHON", unset = NA)
  finding(
    ignored$name %or% "RETICULATE_PYTHON",
    ignored$value %or% if (is.na(value)) "not set" else value,
    problem = if (!is.null(ignored)) {
      sprintf(
        "reticulate cannot use %s: \"%s\" %s; it %s", ignored$name, ignored$value, ignored$reason,
        what_instead(plan)
      )
    },
    fix = if (!is.null(ignored)) {
      paste0(
        set_python(suggested_python(named = ignored$value)),
        if (plan$started) ", after restarting R, before anything uses Python"
      )
    },
    note = if (!is.na(value)) {
      paste(
        "RETICULATE_PYTHON takes precedence over use_python() and use_virtualenv(). To choose",
        "another Python, Sys.unsetenv(\"RETICULATE_PYTHON\") before Python starts; it may be set",
        "in .Renviron or .Rprofile, too."
      )
    }
  )
}

what_instead <- function(plan) {
  if (plan$started) {
    paste("has started", plan$path)
  } else if (plan$managed) {
    "would create an environment of its own"
  } else if (is.null(plan$path)) {
    "finds no Python"
  } else {
    paste("would start", plan$path)
  }
}

python_finding <- function(plan) {
  if (plan$started) {
    finding(
      "Python", paste0(plan$path, " (", plan$version, "), started"),
      note = paste(
        "use_python() has no effect now that Python has started: restart R, and call it before",
        "anything that uses Python."
      )
    )
  } else if (plan$managed) {
    finding(
      "Python", "none chosen: reticulate creates an environment of its own when Python starts"
    )
  } else if (is.null(plan$path)) {
    problem_finding(
      plan, paste0("reticulate finds none: ", plan$problem),
      "there is no Python that reticulate could start"
    )
  } else {
    problem_finding(
      plan,
      paste0(
        plan$path, " (", plan$version, "), not started",
        if (!is.null(plan$why)) paste0(", chosen by ", plan$why)
      ),
      problem_with_start(plan)
    )
  }
}

#' A finding about Python; an ignored setting is reported as the only problem
#' @noRd
problem_finding <- function(plan, value, problem) {
  if (!is.null(plan$ignored)) problem <- NULL
  finding(
    "Python", value,
    problem = problem,
    fix = if (!is.null(problem)) set_python(suggested_python(except = plan$path))
  )
}

problem_with_start <- function(plan) {
  failure <- start_failure(plan$path)
  if (!is.null(failure)) {
    sprintf("reticulate cannot start %s: %s", plan$path, failure)
  } else if (plan$failed) {
    paste(
      "the Python chosen by use_python(), VIRTUAL_ENV or this folder does not work; reticulate",
      "would start", plan$path
    )
  }
}

keras_finding <- function(plan, has_keras) {
  missing <- !has_keras && is.null(plan$ignored)
  finding(
    "Keras", if (has_keras) "found" else "not found",
    problem = if (missing) paste("Keras is not installed for", plan$path),
    fix = if (missing) install_command(plan$path)
  )
}

module_finding <- function(module) {
  ours <- utils::packageVersion("layernorm")
  value <- if (is.null(module)) {
    sprintf("%s, inside this package", ours)
  } else if (module$serves == "python") {
    sprintf("%s, Python's own: %s", module$python, module$path)
  } else if (nzchar(module$python)) {
    sprintf("%s, inside this package; Python's own, %s, is older", module$package, module$python)
  } else {
    sprintf("%s, inside this package; Python has none of its own", module$package)
  }
  older <- !is.null(module) && module$serves == "python" && package_version(module$python) < ours
  finding(
    "py_layernorm", value,
    problem = if (older) {
      sprintf("an older py_layernorm, %s, was imported before this package", module$python)
    },
    fix = if (older) "library(layernorm), after restarting R, before anything imports py_layernorm"
  )
}

axis_findings <- function() {
  loaded <- isNamespaceLoaded("keras3")
  base <- getOption("layernorm.axis_base")
  list(
    finding("keras3", if (loaded) "loaded; counts axes from 1" else "not loaded"),
    finding(
      "axis_base",
      if (is.null(base)) {
        if (loaded) "not set, so an axis >= 0 is an error" else "not set; axes count from 0"
      } else {
        paste0("axes count from ", deparse(base), ", by options(layernorm.axis_base)")
      },
      note = if (loaded && is.null(base)) {
        paste(
          "Write negative axes, or set options(layernorm.axis_base = 0) once, or 1 to count as",
          "keras3 does."
        )
      }
    )
  )
}

render_findings <- function(findings) {
  findings <- Filter(Negate(is.null), findings)
  labels <- format(vapply(findings, function(f) f$label, ""))
  unlist(Map(
    function(label, f) c(paste0(label, "  ", f$value), strwrap(f$note, 80, indent = 2, exdent = 2)),
    labels, findings
  ), use.names = FALSE)
}

render_problems <- function(problems) {
  if (length(problems) == 0) {
    return("No problems in R.")
  }
  count <- sprintf("%d problem%s", length(problems), if (length(problems) > 1) "s" else "")
  c(count, rbind(paste0("- ", names(problems)), paste0("    ", problems)))
}

#' The Python doctor's report
#'
#' @return A list: `lines`, and `problem`, a command named by the problem that it shows, or `NULL`.
#' @noRd
doctor_report <- function(plan) {
  args <- c(choice_file(), bundled(), "--no-r")
  run <- if (plan$started) {
    tryCatch(
      {
        doctor <- import_python("py_layernorm.doctor")
        found <- doctor$findings(r = FALSE)
        fatal <- any(vapply(found, function(f) f$fatal, logical(1)))
        list(out = strsplit(doctor$render(found), "\n")[[1]], status = as.integer(fatal))
      },
      error = function(e) list(out = character(), status = 1L)
    )
  } else {
    run_program(plan$path, args)
  }
  problem <- if (length(run$out) == 0) {
    "the module py_layernorm is there, but its own report fails"
  } else if (run$status != 0) {
    "the module py_layernorm does not work in this Python; its report is below"
  }
  command <- paste(c(plan$path, args), collapse = " ")
  list(
    lines = run$out,
    problem = if (!is.null(problem)) stats::setNames(command, problem)
  )
}
