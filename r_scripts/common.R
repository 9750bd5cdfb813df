# What every engine's script needs. Works under plain Rscript as under bridge's R process.

# A single number, truth value or text, as against a vector that happens to have length one.
one <- function(x) jsonlite::unbox(x)

# Stop with one sentence and the command that mends it when an R package is missing.
need <- function(package) {
  if (requireNamespace(package, quietly = TRUE)) return(invisible(TRUE))
  text <- sprintf(
    "The R package %s is not installed; run: apt-get install r-cran-%s (elsewhere, in R: install.packages(\"%s\")).",
    package, tolower(package), package
  )
  stop(structure(
    class = c("not_installed", "error", "condition"), list(message = text, call = NULL)
  ))
}

# Evaluate the text of a native call, exactly as the user was shown it: `data` is the frame, and
# the package's functions are found first.
evaluate <- function(text, data, package) {
  need(package)
  suppressPackageStartupMessages(library(package, character.only = TRUE))
  place <- new.env(parent = as.environment(paste0("package:", package)))
  place$data <- data
  eval(parse(text = text, keep.source = FALSE, encoding = "UTF-8"), place)
}

# A bare matrix: no names, no attributes but its dimensions.
bare <- function(x) {
  x <- as.matrix(x)
  matrix(as.double(x), nrow(x), ncol(x))
}

# Call f(...), and report what it said on the way.
# Returns list(answer, warnings, messages), or list(error, kind, warnings, messages).
collected <- function(f, ...) {
  heard <- new.env()
  heard$warnings <- heard$messages <- character()
  answer <- tryCatch(
    withCallingHandlers(
      list(answer = f(...)),
      warning = function(w) {
        heard$warnings <- c(heard$warnings, conditionMessage(w))
        invokeRestart("muffleWarning")
      },
      message = function(m) {  # not muffled: it is also a sign of progress
        heard$messages <- c(heard$messages, sub("\n$", "", conditionMessage(m)))
      }
    ),
    error = function(e) {
      list(
        error = conditionMessage(e),
        kind = if (inherits(e, "not_installed")) "EngineNotInstalled" else "EngineFailed",
        call = paste(deparse(conditionCall(e), nlines = 1L), collapse = "")
      )
    }
  )
  c(answer, list(warnings = heard$warnings, messages = heard$messages))
}

# Versions of R and of packages, none of which is loaded; NULL for one that is not there.
versions <- function(packages) {
  found <- lapply(packages, function(package) {
    version <- suppressWarnings(utils::packageDescription(package, fields = "Version"))
    if (is.na(version)) NULL else one(version)
  })
  c(list(R = one(as.character(getRversion()))), stats::setNames(found, packages))
}

# Join code, labels and missing marks into a factor or an integer column.
as_factor_column <- function(codes, levels) {
  codes[codes < 1L] <- NA_integer_
  structure(codes, levels = levels, class = "factor")
}
