# What other programs make of the models of agq.py, each by the call a user of R would type.
#
#   Rscript --vanilla peers.R PEER data.csv answer.json REPEATS SHORT
#
# A peer is first called on a tiny data set, so that loading it is not counted. The time is that of
# the fitting call alone, wall clock; it runs REPEATS times, or once where it takes SHORT seconds.
# The answer holds seconds, loglik, method (of the likelihood), gamma (outcome units), delta (of the
# log variance; none from gaulss, whose scale is another), converged and versions.

# Ten groups of ten rows with every column that a call reads.
tiny <- function() {
  set.seed(1)
  data <- data.frame(
    school = factor(rep(1:10, each = 10)), sector = rep(0:1, each = 50),
    meanses = rep(rnorm(10), each = 10), x = rnorm(100)
  )
  data$mathach <- rep(rnorm(10), each = 10) + data$x * rep(rnorm(10), each = 10) + rnorm(100)
  data
}

model4 <- mathach ~ sector + meanses + x + sector:x + meanses:x

fit_glmmTMB <- function(data) {
  formula <- update(model4, . ~ . + (1 + x | school))
  glmmTMB::glmmTMB(formula, data, dispformula = ~ sector * x)
}

# REML = FALSE is glmmTMB's default. Its dispersion is a log variance before 1.1.9, then a log SD.
said_glmmTMB <- function(fit) {
  factor <- if (utils::packageVersion("glmmTMB") < "1.1.9") 1 else 2
  fixed <- glmmTMB::fixef(fit)
  list(
    gamma = as.list(fixed$cond), delta = as.list(factor * fixed$disp),
    converged = fit$fit$convergence == 0 && isTRUE(fit$sdr$pdHess), method = "ML"
  )
}

# As the package's own engine words it: a varExp for each predictor, and its step for apVar. With
# nlminb, its default, lme stops here without an answer ("iteration limit reached" or "singular
# convergence", however many iterations are allowed); with optim it gives one.
fit_nlme <- function(data) {
  nlme::lme(
    model4, data = data, random = ~ 1 + x | school, method = "ML",
    weights = nlme::varComb(
      nlme::varExp(form = ~ sector), nlme::varExp(form = ~ x), nlme::varExp(form = ~ I(sector * x))
    ),
    control = nlme::lmeControl(.relStep = 1e-4, opt = "optim")
  )
}

said_nlme <- function(fit) {
  exponents <- vapply(fit$modelStruct$varStruct, function(part) as.double(coef(part)), 0)
  delta <- 2 * c(log(fit$sigma), exponents)
  names(delta) <- c("(Intercept)", "sector", "x", "sector:x")
  list(gamma = as.list(nlme::fixef(fit)), delta = as.list(delta), converged = TRUE, method = "ML")
}

# Effects of schools in both functions, independent; gam's linear predictor of the second is
# log(SD - 0.01). For this family it knows REML alone: asked for ML it gives the same numbers.
fit_gaulss <- function(data) {
  mgcv::gam(
    list(mathach ~ sector + s(school, bs = "re"), ~ sector + s(school, bs = "re")),
    data = data, family = mgcv::gaulss(), method = "REML"
  )
}

said_gaulss <- function(fit) {
  list(
    gamma = as.list(coef(fit)[c("(Intercept)", "sector")]), delta = NULL,
    converged = isTRUE(fit$outer.info$conv == "full convergence"), method = "REML"
  )
}

loglik_of <- function(fit, peer) {
  # logLik of a gam is at the mode of its effects; with them integrated out (Laplace) it is minus
  # the criterion it minimises
  if (peer == "gaulss") -as.double(fit$gcv.ubre) else as.double(stats::logLik(fit))
}

main <- function(peer, path, answer, repeats, short) {
  data <- utils::read.csv(path)
  data$school <- factor(data$school)
  fit_peer <- get(paste0("fit_", peer))
  suppressWarnings(try(fit_peer(tiny()), silent = TRUE))
  seconds <- system.time(fit <- fit_peer(data))[["elapsed"]]
  while (length(seconds) < repeats && seconds[1] < short) {
    seconds <- c(seconds, system.time(fit_peer(data))[["elapsed"]])
  }
  package <- c(glmmTMB = "glmmTMB", nlme = "nlme", gaulss = "mgcv")[[peer]]
  versions <- list(R = paste(R.version$major, R.version$minor, sep = "."))
  versions[[package]] <- as.character(utils::packageVersion(package))
  said <- get(paste0("said_", peer))(fit)
  said <- c(list(seconds = I(seconds), loglik = loglik_of(fit, peer)), said)
  said$versions <- versions
  writeLines(jsonlite::toJSON(said, auto_unbox = TRUE, digits = NA), answer)
}

given <- commandArgs(TRUE)
if (length(given) != 5) stop("usage: Rscript peers.R PEER data.csv answer.json REPEATS SHORT")
main(given[1], given[2], given[3], as.integer(given[4]), as.double(given[5]))
