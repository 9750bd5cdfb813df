# nlme: a linear mixed model with a level-1 variance function (no random effects in it).

# The blocks of the random effects: one, or the parts of a pdBlocked.
pd_blocks <- function(pd) if (inherits(pd, "pdBlocked")) lapply(seq_along(pd), function(i) pd[[i]]) else list(pd)

# The components of the variance function, in the order of the call.
variance_components <- function(variance) {
  if (is.null(variance)) return(list())
  if (inherits(variance, "varComb")) lapply(seq_along(variance), function(i) variance[[i]]) else list(variance)
}

# coef is unconstrained: expon of varExp (half a log-variance coefficient), log SD ratios of varIdent.
variance_coef <- function(component) {
  kind <- class(component)[1]
  if (!kind %in% c("varExp", "varIdent")) stop(sprintf("the variance function %s is not known here", kind))
  list(
    class = one(kind),
    coef = as.double(coef(component, unconstrained = TRUE)),
    groups = attr(component, "groupNames")
  )
}

# The covariance of the variance parameters, or why there is none. Parameters, in order:
# for each block its log SDs (one for pdIdent), then, unless it is diagonal, log((1 + r)/(1 - r)) =
# 2 atanh(r) of the correlations (1,2), (1,3), ..., (2,3), ...; the coefs of the variance function
# as in variance_coef; log sigma. All SDs are absolute, in units of the outcome.
# nlme's step for the derivatives drowns in rounding: ask for control = lmeControl(.relStep = 1e-4).
approximate_covariance <- function(fit) {
  apvar <- fit$apVar
  if (isTRUE(attr(fit$modelStruct, "fixedSigma"))) {  # nlme's likelihood there counts a term twice
    apvar <- "nlme's approximate covariance is wrong when sigma is fixed, and is left out"
  }
  if (!is.matrix(apvar)) return(list(apvar = NULL, pars = NULL, message = as.character(apvar)))
  list(apvar = bare(apvar), pars = as.double(attr(apvar, "Pars")), message = NULL)
}

# plan$native: text of the call, e.g. "lme(y ~ x, data = data, random = ~ 1 | g, method = \"ML\")".
# Returns, with p fixed effects, N rows, and lists of one entry for each block of random effects in
# the order of the call (q effects, J groups):
#   fixef (p), fixef_names, fixef_vcov (p x p), X (N x p)
#   block_class, Z (N x q), effect_names, covariance (q x q, outcome units squared), effects (J x q)
#   levels (J), sigma (the SD that the variance function multiplies)
#   variance_coef: for each component list(class, coef, groups), the reference group first
#   loglik (of REML if so fitted), df, n_obs, apvar, apvar_pars, apvar_message
fit_nlme <- function(plan, data) {
  fit <- evaluate(plan$native, data, "nlme")
  if (!inherits(fit, "lme")) stop("the native call did not give a linear mixed model")
  if (isTRUE(attr(fit$modelStruct, "fixedSigma")) && fit$sigma != 1) {
    stop("nlme's log-likelihood is right only for sigma fixed at 1; scale the variance function")
  }
  structures <- fit$modelStruct$reStruct
  if (length(structures) != 1L) stop("the native call must have one grouping factor")
  blocks <- pd_blocks(structures[[1L]])
  names <- lapply(blocks, nlme::Names)
  effects <- as.matrix(nlme::ranef(fit))
  stopifnot(identical(colnames(effects), unlist(names)))
  Z <- lapply(blocks, function(block) stats::model.matrix(formula(block), data))
  stopifnot(identical(lapply(Z, colnames), names))
  covariance <- approximate_covariance(fit)
  loglik <- stats::logLik(fit)
  list(
    fixef = unname(nlme::fixef(fit)),
    fixef_names = names(nlme::fixef(fit)),
    fixef_vcov = bare(fit$varFix),
    X = bare(stats::model.matrix(formula(fit), data)),
    block_class = vapply(blocks, function(block) class(block)[1], ""),
    Z = lapply(Z, bare),
    effect_names = names,
    covariance = lapply(blocks, function(block) bare(nlme::pdMatrix(block)) * fit$sigma^2),
    effects = lapply(names, function(name) bare(effects[, name, drop = FALSE])),
    levels = rownames(effects),
    sigma = one(fit$sigma),
    variance_coef = lapply(variance_components(fit$modelStruct$varStruct), variance_coef),
    loglik = one(as.double(loglik)),
    df = one(attr(loglik, "df")),
    n_obs = one(fit$dims$N),
    apvar = covariance$apvar,
    apvar_pars = covariance$pars,
    apvar_message = covariance$message
  )
}
