// Mixed-effects location scale model, whole and data-driven.
//   mean          y[i] ~ normal(mu[i], sigma[i]),  mu[i] = X[i] * gamma + Z[i] * u[group[i]]
//   log variance  2 log sigma[i] = W[i] * delta + A[i] * v[group[i]]
//   effects       (u[1..qu], v[1..qv]) of a group ~ N(0, diag(sd) R diag(sd)), R made of blocks
// delta and the SDs of v are on the log VARIANCE scale.
// Every term is added with its constants; half priors are those of the whole line, not doubled.
functions {
  // Independent priors of coefficients; a row of par is (df, location, scale).
  real coefficient_prior_lpdf(vector theta, array[] int kind, matrix par) {
    real lp = 0;
    for (i in 1:size(kind)) {
      if (kind[i] == 1) lp += normal_lpdf(theta[i] | par[i, 2], par[i, 3]);
      if (kind[i] == 2) lp += student_t_lpdf(theta[i] | par[i, 1], par[i, 2], par[i, 3]);
    }
    return lp;
  }
  // Independent priors of SDs; a row of par is (df, scale), or (anything, rate) if exponential.
  real sd_prior_lpdf(vector sd, array[] int kind, matrix par) {
    real lp = 0;
    for (i in 1:size(kind)) {
      if (kind[i] == 1) lp += student_t_lpdf(sd[i] | par[i, 1], 0, par[i, 2]);
      if (kind[i] == 2) lp += normal_lpdf(sd[i] | 0, par[i, 2]);
      if (kind[i] == 3) lp += exponential_lpdf(sd[i] | par[i, 2]);
    }
    return lp;
  }
  // Cholesky factor of the block structured correlation matrix from its canonical partial correlations.
  matrix correlation_factor(vector cpc, array[] int block) {
    int q = size(block);
    int n = 0;
    matrix[q, q] L = rep_matrix(0, q, q);
    for (a in 1:q) {
      real left = 1; // what the earlier members of the block leave of the unit variance
      for (b in 1:(a - 1)) {
        if (block[b] == block[a]) {
          n += 1;
          L[a, b] = cpc[n] * sqrt(left);
          left *= 1 - square(cpc[n]);
        }
      }
      L[a, a] = sqrt(left);
    }
    return L;
  }
  // Standardised innovations z, with effects = diag(sd) L z; a centred row of raw is the effect itself.
  matrix innovations(matrix raw, vector sd, matrix L, array[] int centred) {
    matrix[rows(raw), cols(raw)] z = raw;
    for (a in 1:rows(raw)) {
      if (centred[a] == 1) {
        z[a] = raw[a] / (sd[a] * L[a, a]);
        if (a > 1) z[a] -= L[a, 1:(a - 1)] * z[1:(a - 1)] / L[a, a];
      }
    }
    return z;
  }
  // Columns of the nonzeros of a whole design, row by row: first the p of the coefficients, then,
  // among the q effects of each group, those of the row's group from number `first` on.
  array[] int design_columns(array[] int group, int p, int q, int first, int count) {
    array[size(group) * (p + count)] int column;
    int n = 0;
    for (i in 1:size(group)) {
      for (c in 1:p) column[n + c] = c;
      for (a in 1:count) column[n + p + a] = p + (group[i] - 1) * q + first + a - 1;
      n += p + count;
    }
    return column;
  }
  // Where each row of such a design starts.
  array[] int design_starts(int N, int width) {
    array[N + 1] int start;
    for (i in 1:(N + 1)) start[i] = (i - 1) * width + 1;
    return start;
  }
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
