#' What layernorm finds on this machine
#'
#' The first thing to run when something does not work. Prints the versions of R and its packages,
#' which Python runs or would be started and why, whether the module `py_layernorm` is there, how
#' axes are counted, and then the report of that module, the same as from
#' `python -m py_layernorm` in a shell. Each problem comes with the command that mends it.
#'
#' Two traps with the choice of Python are explained when they apply:
#'
#' * The environment variable `RETICULATE_PYTHON` beats [reticulate::use_python()].
#' * [reticulate::use_python()] changes nothing once Python has started, and any call into Python
#'   starts it.
#'
#' Starts no Python in this session (it asks in a process of its own) and downloads nothing.
#'
#' @return Invisibly a list: `lines`, the text printed; `problems`, a character vector of commands
#'   that mend what is wrong, named by what is wrong, empty if all is well; `python`, the path of
#'   the Python found or `NULL`; `started`, whether it runs in this session.
#' @section Errors:
#' None: what is wrong is part of the report.
#'
#' @references The report of the Python module, `python -m py_layernorm`; [reticulate::use_python()]
#'   on the order in which Pythons are found.
#' @export
#' @examplesIf layernorm:::has_py_layernorm()
#' layernorm_sitrep()
layernorm_sitrep <- function() {
  plan <- planned_python()
  has_module <- has_py_layernorm(plan)
  findings <- c(
    r_findings(),
    python_findings(plan, has_module),
    axis_findings()
  )
  report <- if (has_module) doctor_report(plan)
  problems <- unlist(lapply(findings, function(f) f$problem))
  if (has_module && is.null(report)) {
    problems <- c(problems, doctor_problem(plan))
  }
  lines <- c(render_findings(findings), "", render_problems(problems), "", report)
  writeLines(lines)
  invisible(
    list(lines = lines, problems = problems, python = plan$path, started = plan$started)
  )
}

finding <- function(label, value, problem = NULL, mend = NULL, note = NULL) {
  if (!is.null(problem)) names(mend) <- problem
  list(label = label, value = value, problem = mend, note = note)
}

r_findings <- function(reticulate = utils::packageVersion("reticulate")) {
  old <- reticulate < "1.41"
  list(
    finding("R", as.character(getRversion())),
    finding("layernorm", as.character(utils::packageVersion("layernorm"))),
    finding(
      "reticulate", as.character(reticulate),
      problem = if (old) "reticulate is older than 1.41",
      mend = if (old) "install.packages(\"reticulate\")"
    )
  )
}

python_findings <- function(plan, has_module) {
  list(
    setting_finding(),
    if (plan$started) {
      finding(
        "Python", paste0(plan$path, " (", plan$version, "), started"),
        note = paste(
          "use_python() changes nothing now that Python has started: restart R, and call it",
          "before anything that uses Python."
        )
      )
    } else if (plan$managed) {
      managed_finding()
    } else if (is.null(plan$path)) {
      finding(
        "Python", paste0("none that reticulate can use: ", plan$problem),
        problem = "there is no Python that reticulate could start",
        mend = "Sys.setenv(RETICULATE_PYTHON = \"/path/to/python\")"
      )
    } else {
      why <- if (!is.null(plan$why)) paste0(", by ", plan$why)
      finding("Python", paste0(plan$path, " (", plan$version, "), not started", why))
    },
    if (!is.null(plan$path)) {
      finding(
        "py_layernorm", if (has_module) "found" else "not found",
        problem = if (!has_module) paste("the module py_layernorm is not installed for", plan$path),
        mend = if (!has_module) install_command(plan$path)
      )
    }
  )
}

setting_finding <- function() {
  value <- Sys.getenv("RETICULATE_PYTHON", unset = NA)
  if (is.na(value)) {
    return(finding("RETICULATE_PYTHON", "not set"))
  }
  missing <- value != "managed" && !file.exists(value)
  finding(
    "RETICULATE_PYTHON", value,
    problem = if (missing) "RETICULATE_PYTHON names a file that does not exist",
    mend = if (missing) "Sys.unsetenv(\"RETICULATE_PYTHON\")",
    note = paste(
      "RETICULATE_PYTHON beats use_python() and use_virtualenv(). To choose another Python,",
      "Sys.unsetenv(\"RETICULATE_PYTHON\") before Python starts; look for it in .Renviron, too."
    )
  )
}

managed_finding <- function() {
  finding(
    "Python", "none chosen: reticulate makes an environment of its own when Python starts",
    note = paste(
      "It downloads", requirement, "for that. For a Python that is there already,",
      "Sys.setenv(RETICULATE_PYTHON = \"/path/to/python\") before Python starts."
    )
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
          "Write negative axes, or options(layernorm.axis_base = 0) once, or 1 to count as",
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

#' The lines of the Python doctor's report, NULL if it has none
#' @noRd
doctor_report <- function(plan) {
  lines <- if (plan$started) {
    tryCatch(
      strsplit(import_python("py_layernorm.doctor")$report(r = FALSE), "\n")[[1]],
      error = function(e) NULL
    )
  } else {
    run_python(plan$path, c("-m", "py_layernorm", "--no-r"))$out
  }
  if (length(lines) > 0) lines
}

doctor_problem <- function(plan) {
  c("the module py_layernorm is there but its own report fails" =
      paste(plan$path, "-m py_layernorm --no-r"))
}
