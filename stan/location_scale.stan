// Mixed-effects location scale model, whole and data-driven.
//   mean          y[i] ~ normal(mu[i], sigma[i]),  mu[i] = X[i] * gamma + Z[i] * u[group[i]]
//   log variance  2 log sigma[i] = W[i] * delta + A[i] * v[group[i]]
//   effects       (u[1..qu], v[1..qv]) of a group ~ N(0, diag(sd) R diag(sd)), R made of blocks
// delta and the SDs of v are on the log VARIANCE scale.
// Every term is added with its constants; half priors are those of the whole line, not doubled.
functions {
#include functions/priors.stanfunctions
#include functions/correlation_factor.stanfunctions
#include functions/covariance_prior.stanfunctions
#include functions/innovations.stanfunctions
#include functions/group_designs.stanfunctions
}
data {
  int<lower=1> N; // level-1 units
  int<lower=1> J; // groups
  int<lower=0> p; // coefficients of the mean
  int<lower=1> k; // coefficients of the log variance
  int<lower=0> qu; // group effects in the mean
  int<lower=0> qv; // group effects in the log variance
  vector[N] y;
  matrix[N, p] X;
  matrix[N, k] W;
  matrix[N, qu] Z;
  matrix[N, qv] A;
  array[N] int<lower=1, upper=J> group;
  array[qu + qv] int<lower=1> block; // effects of one number are correlated, others independent
  array[qu + qv] int<lower=0, upper=1> centred;
  array[p] int<lower=0, upper=2> gamma_prior_kind; // 0 flat, 1 normal, 2 Student-t
  matrix[p, 3] gamma_prior; // df, location, scale
  array[k] int<lower=0, upper=2> delta_prior_kind;
  matrix[k, 3] delta_prior;
  array[qu + qv] int<lower=0, upper=3> sd_prior_kind; // 0 flat, 1 half-t, 2 half-normal, 3 exponential
  matrix[qu + qv, 2] sd_prior; // df, scale; or unused, rate
  vector<lower=0>[qu + qv] lkj; // eta of the block that the effect is in
  array[qu + qv] int<lower=0, upper=2> tau_prior_kind; // of its block: 0 none, 1 flat, 2 inv-Wishart
  vector<lower=0>[qu + qv] tau_prior_df;
  matrix[qu + qv, qu + qv] tau_prior_scale; // df times a plausible T
}
transformed data {
  int q = qu + qv;
  int n_rho = 0;
  for (a in 1:q) for (b in 1:(a - 1)) n_rho += block[a] == block[b];
  // LKJ(eta) makes the partial correlations independent: (1 + cpc) / 2 ~ beta(shape, shape).
  vector[n_rho] shape;
  {
    int n = 0;
    for (a in 1:q) {
      int members = 0; // size of the block of a
      int place = 0; // of b within the block
      for (b in 1:q) members += block[b] == block[a];
      for (b in 1:(a - 1)) {
        if (block[b] == block[a]) {
          n += 1;
          place += 1;
          shape[n] = lkj[a] + 0.5 * (members - 1 - place);
        }
      }
    }
  }
  // Each function is one sparse product, so that few vectors of length N are differentiated.
  vector[N * (p + qu)] mean_value = to_vector(append_col(X, Z)');
  vector[N * (k + qv)] log_sd_value = 0.5 * to_vector(append_col(W, A)');
  array[N * (p + qu)] int mean_column = design_columns(group, p, q, 1, qu);
  array[N * (k + qv)] int log_sd_column = design_columns(group, k, q, qu + 1, qv);
  array[N + 1] int mean_start = design_starts(N, p + qu);
  array[N + 1] int log_sd_start = design_starts(N, k + qv);
}
parameters {
  vector[p] gamma;
  vector[k] delta;
  vector<lower=0>[q] sd;
  vector<lower=-1, upper=1>[n_rho] cpc; // pairs (a, b), b < a, of one block, row by row
  matrix[q, J] raw;
}
transformed parameters {
  matrix[q, q] L = correlation_factor(cpc, block);
}
model {
  matrix[q, J] z = innovations(raw, sd, L, centred);
  vector[q * J] effects = to_vector(diag_pre_multiply(sd, L) * z); // group by group
  vector[N] mu = rep_vector(0, N);
  if (p + qu > 0) {
    mu = csr_matrix_times_vector(N, p + q * J, mean_value, mean_column, mean_start,
                                 append_row(gamma, effects));
  }
  vector[N] log_sd = csr_matrix_times_vector(N, k + q * J, log_sd_value, log_sd_column,
                                             log_sd_start, append_row(delta, effects));
  target += normal_lpdf(y | mu, exp(log_sd));
  target += std_normal_lpdf(to_vector(z));
  for (a in 1:q) if (centred[a] == 1) target += -J * log(sd[a] * L[a, a]); // d z / d raw
  target += beta_lpdf(0.5 * (1 + cpc) | shape, shape) - n_rho * log2(); // d beta / d cpc
  target += covariance_prior_lpdf(sd | L, block, tau_prior_kind, tau_prior_df, tau_prior_scale);
  target += sd_prior_lpdf(sd | sd_prior_kind, sd_prior);
  target += coefficient_prior_lpdf(gamma | gamma_prior_kind, gamma_prior);
  target += coefficient_prior_lpdf(delta | delta_prior_kind, delta_prior);
}
generated quantities {
  vector[n_rho] rho; // correlations, in the order of cpc
  matrix[q, J] effects; // u, then v
  {
    int n = 0;
    matrix[q, q] R = multiply_lower_tri_self_transpose(L);
    for (a in 1:q) {
      for (b in 1:(a - 1)) {
        if (block[b] == block[a]) {
          n += 1;
          rho[n] = R[a, b];
        }
      }
    }
    effects = diag_pre_multiply(sd, L) * innovations(raw, sd, L, centred);
  }
}
