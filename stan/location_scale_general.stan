// The model of location_scale.stan with, where the data ask for it,
//   Student-t     the effects of a group multiplied by sqrt(mixing[group]),
//                 mixing ~ inv_gamma(nu / 2, nu / 2): multivariate t, sd and R those of its scale
//   association   2 log sigma[i] gaining sum_a lambda[a] u*[a] (+ lambda[qu + a] u*[a]^2), where
//                 u* is u over its sd (of the scale) or u itself
//   level 2       2 log sd[a] and atanh R[a, b], or where partial the atanh of the partial
//                 correlation of a and b given those before b, equal to H * kappa, group by group
// For the plain model it is a little slower than location_scale.stan, and has the same density.
// delta and the SDs of v are on the log VARIANCE scale.
// Every term is added with its constants; half priors are those of the whole line, not doubled.
// The density is that of gamma and delta: the map from what is sampled of them is linear.
functions {
#include functions/priors.stanfunctions
#include functions/correlation_factor.stanfunctions
#include functions/covariance_prior.stanfunctions
  // The level-2 function of element (a, b), group by group.
  vector level2_value(int a, int b, vector kappa, matrix H, array[,] int kappa_pair) {
    vector[rows(H)] value = rep_vector(0, rows(H));
    for (c in 1:rows(kappa)) {
      if (kappa_pair[c, 1] == a && kappa_pair[c, 2] == b) value += kappa[c] * H[, c];
    }
    return value;
  }
  // SDs of the effects in each group; sd holds, in turn, those that do not vary between groups.
  matrix group_sds(vector sd, vector kappa, matrix H, array[,] int kappa_pair,
                   array[,] int varies) {
    matrix[size(varies), rows(H)] S;
    int n = 0;
    for (a in 1:size(varies)) {
      if (varies[a, a] == 1) {
        S[a] = exp(0.5 * level2_value(a, a, kappa, H, kappa_pair)');
      } else {
        n += 1;
        S[a] = rep_row_vector(sd[n], rows(H));
      }
    }
    return S;
  }
  // Cholesky factors of the correlation matrices, element by element a row over groups.
  // Where a group's matrix is not positive definite the point is rejected.
  array[,] row_vector group_factors(vector cpc, vector free_rho, vector kappa, matrix H,
                                    array[,] int kappa_pair, array[,] int varies,
                                    array[] int block, array[] int own_block,
                                    array[] int partial) {
    int q = size(block);
    int J = rows(H);
    int n = 0;
    matrix[q, q] constant_L = correlation_factor(cpc, own_block);
    array[q, q] row_vector[J] L;
    for (a in 1:q) {
      for (b in 1:q) L[a, b] = rep_row_vector(constant_L[a, b], J);
      if (own_block[a] < 0) {
        row_vector[J] left = rep_row_vector(1, J); // what earlier effects leave of the variance
        for (b in 1:(a - 1)) {
          if (block[b] == block[a]) {
            if (varies[a, b] == 1) {
              L[a, b] = tanh(level2_value(a, b, kappa, H, kappa_pair)');
            } else {
              n += 1;
              L[a, b] = rep_row_vector(free_rho[n], J);
            }
            if (partial[a] == 1) {
              L[a, b] = L[a, b] .* sqrt(left);
              // 1 - tanh^2 without cancellation: positive whatever kappa
              left = left ./ square(cosh(level2_value(a, b, kappa, H, kappa_pair)'));
            } else {
              for (c in 1:(b - 1)) if (block[c] == block[a]) L[a, b] -= L[a, c] .* L[b, c];
              L[a, b] = L[a, b] ./ L[b, b];
              left -= square(L[a, b]);
            }
          }
        }
        if (min(left) <= 0) reject("A correlation matrix of a group is not positive definite.");
        L[a, a] = sqrt(left);
      }
    }
    return L;
  }
  // What `group_values` of the other programs returns, where SDs S and factors L vary by group.
  array[] matrix group_values(matrix raw, matrix part, matrix S, array[,] row_vector L,
                              array[] int block, array[] int centred, matrix weight,
                              matrix toward, array[] matrix tie) {
    int q = rows(raw);
    int J = cols(raw);
    matrix[q, J] z;
    matrix[q, J] own = part;
    matrix[q, J] slope;
    for (a in 1:q) {
      row_vector[J] s = S[a] .* L[a, a];
      for (b in 1:(a - 1)) if (block[b] == block[a]) own[a] += S[a] .* L[a, b] .* z[b];
      if (centred[a]) {
        z[a] = (raw[a] - own[a]) ./ s;
        slope[a] = -log(s);
      } else {
        row_vector[J] pulled = toward[a] - own[a];
        row_vector[J] precision = 1 + square(s) .* weight[a]; // of z[a]
        for (b in 1:(a - 1)) pulled -= tie[a][b] .* own[b];
        z[a] = s .* weight[a] .* pulled ./ precision + raw[a] ./ sqrt(precision);
        slope[a] = -0.5 * log(precision);
      }
      own[a] += s .* z[a];
    }
    return {z, own, slope};
  }
  // What the effects of the mean add to the log variance of each group.
  row_vector latent_value(vector lambda, matrix u) {
    int qu = rows(u);
    row_vector[cols(u)] value = lambda[1:qu]' * u;
    if (rows(lambda) > qu) value += lambda[(qu + 1):(2 * qu)]' * square(u);
    return value;
  }
#include functions/group_designs.stanfunctions
#include functions/fixed_parts.stanfunctions
#include functions/rows.stanfunctions
}
data {
  int<lower=1> N; // level-1 units
  int<lower=1> J; // groups
  int<lower=0> p; // coefficients of the mean
  int<lower=1> k; // coefficients of the log variance
  int<lower=0> qu; // group effects in the mean
  int<lower=0> qv; // group effects in the log variance
  vector[N] y; // group by group
  array[J + 1] int<lower=1, upper=N + 1> start; // first row of each group, and one beyond the last
  array[qu] matrix[J, p] between_mean; // what of the mean goes with each effect, by group
  array[qv] matrix[J, k] between_variance;
  int<lower=0, upper=p> p_row;
  array[p_row] int<lower=1, upper=p> row_gamma; // coefficients of which rows keep something
  matrix[N, p_row + qu] X; // what is left of their columns, then those of the effects
  int<lower=0, upper=k> k_row;
  array[k_row] int<lower=1, upper=k> row_delta;
  matrix[N, k_row + qv] W;
  int<lower=0, upper=1> sparse; // 1 where the groups are small
  array[qu] int<lower=1, upper=qu + qv> u_rows; // the place of each effect among all of them
  array[qv] int<lower=1, upper=qu + qv> v_rows;
  array[qu + qv] int<lower=1> block; // effects of one number are correlated, others independent
  array[qu + qv] int<lower=0, upper=1> centred;
  matrix<lower=0>[qu + qv, J] weight; // what the rows of a group say of its own coefficients
  matrix[qu + qv, J] toward;
  array[qu + qv] matrix[qu + qv, J] tie;
  // gamma and delta are sampled about where the chains start, in units of what the data say of them
  vector[p] gamma_centre;
  matrix[p, p] gamma_factor; // of their covariance
  vector[k] delta_centre;
  matrix[k, k] delta_factor;
  array[p] int<lower=0, upper=2> gamma_prior_kind; // 0 flat, 1 normal, 2 Student-t
  matrix[p, 3] gamma_prior; // df, location, scale
  array[k] int<lower=0, upper=2> delta_prior_kind;
  matrix[k, 3] delta_prior;
  int<lower=0, upper=qu + qv> n_sd; // effects whose SD is the same in all groups
  array[n_sd] int<lower=0, upper=3> sd_prior_kind; // 0 flat, 1 half-t, 2 half-normal, 3 exponential
  matrix[n_sd, 2] sd_prior; // df, scale; or unused, rate
  vector<lower=0>[qu + qv] lkj; // eta of the block that the effect is in
  int<lower=0, upper=1> t_effects; // 1 where the effects are Student-t
  vector<lower=0>[2] nu_prior; // shape and rate of a gamma, cut off below at 1
  int<lower=0, upper=2> latent; // association: 0 none, 1 linear, 2 with the squares
  int<lower=0, upper=1> standardised; // whether u enters over its SD
  array[latent * qu] int<lower=0, upper=2> lambda_prior_kind;
  matrix[latent * qu, 3] lambda_prior;
  int<lower=0> n_kappa; // coefficients of level-2 functions
  array[n_kappa, 2] int<lower=1, upper=qu + qv> kappa_pair; // (a, b), b <= a: the function it is of
  matrix[J, n_kappa] H; // its predictor
  array[n_kappa] int<lower=0, upper=2> kappa_prior_kind;
  matrix[n_kappa, 3] kappa_prior;
  array[qu + qv] int<lower=0, upper=2> tau_prior_kind; // of its block: 0 none, 1 flat, 2 inv-Wishart
  vector<lower=0>[qu + qv] tau_prior_df;
  matrix[qu + qv, qu + qv] tau_prior_scale; // df times a plausible T
  array[qu + qv] int<lower=0, upper=1> partial; // whether its block's are partial correlations
}
transformed data {
  int q = qu + qv;
  array[q, q] int varies = rep_array(0, q, q); // which elements are level-2 functions
  for (c in 1:n_kappa) varies[kappa_pair[c, 1], kappa_pair[c, 2]] = 1;
  // Partial correlations make a matrix of constants; where one of a block's correlations varies,
  // its constant ones are sampled as they are. Its effects have an own_block below zero each.
  array[q] int own_block = block;
  for (a in 1:q) {
    for (b in 1:q) {
      for (c in 1:(b - 1)) if (block[b] == block[a] && varies[b, c] == 1) own_block[a] = -a;
    }
  }
  int n_cpc = 0;
  int n_free = 0;
  for (a in 1:q) {
    for (b in 1:(a - 1)) {
      n_cpc += own_block[a] == own_block[b];
      n_free += own_block[a] != own_block[b] && block[a] == block[b] && varies[a, b] == 0;
    }
  }
  int n_rho = n_cpc + n_free;
  // LKJ(eta) makes the partial correlations independent: (1 + cpc) / 2 ~ beta(shape, shape).
  // Correlations as they are have the marginal of LKJ, that of the first partial correlation.
  vector[n_cpc] shape;
  vector[n_free] free_shape;
  {
    int n = 0;
    int m = 0;
    for (a in 1:q) {
      int members = 0; // size of the block of a
      int place = 0; // of b within the block
      for (b in 1:q) members += block[b] == block[a];
      for (b in 1:(a - 1)) {
        if (own_block[b] == own_block[a]) {
          n += 1;
          place += 1;
          shape[n] = lkj[a] + 0.5 * (members - 1 - place);
        } else if (block[b] == block[a] && varies[a, b] == 0) {
          m += 1;
          free_shape[m] = lkj[a] + 0.5 * (members - 2);
        }
      }
    }
  }
  // An association enters as one more coefficient of each group, the effect of a column of ones.
  matrix[N, k_row + qv + (latent > 0)] half_W = 0.5 * append_col(W, rep_matrix(1, N, latent > 0));
  array[sparse * N] int group;
  if (sparse) for (j in 1:J) for (i in start[j]:(start[j + 1] - 1)) group[i] = j;
  array[sparse * N * (p_row + qu)] int X_column = design_columns(group, p_row, qu);
  array[sparse * N * cols(half_W)] int W_column = design_columns(group, k_row, cols(half_W) - k_row);
  vector[sparse * N * (p_row + qu)] X_value;
  vector[sparse * N * cols(half_W)] W_value;
  if (sparse) {
    X_value = to_vector(X');
    W_value = to_vector(half_W');
  }
}
parameters {
  vector[p] gamma_raw;
  vector[k] delta_raw;
  vector<lower=0>[n_sd] sd;
  vector<lower=-1, upper=1>[n_cpc] cpc; // pairs (a, b), b < a, of one block, row by row
  vector<lower=-1, upper=1>[n_free] free_rho;
  matrix[q, J] raw;
  vector<lower=1>[t_effects] nu;
  vector<lower=0>[t_effects * J] mixing;
  vector[latent * qu] lambda;
  vector[n_kappa] kappa;
}
transformed parameters {
  vector[p] gamma = gamma_centre + gamma_factor * gamma_raw;
  vector[k] delta = delta_centre + delta_factor * delta_raw;
}
model {
  matrix[q, J] sds = group_sds(sd, kappa, H, kappa_pair, varies);
  matrix[q, J] S = sds; // given the mixing
  if (t_effects) S = sds .* rep_matrix(sqrt(mixing)', q);
  array[q, q] row_vector[J] L
    = group_factors(cpc, free_rho, kappa, H, kappa_pair, varies, block, own_block, partial);
  matrix[q, J] part = fixed_parts(between_mean, gamma, u_rows, between_variance, delta, v_rows, J);
  array[3] matrix[q, J] found
    = group_values(raw, part, S, L, block, centred, weight, toward, tie);
  matrix[q, J] value = found[2];
  matrix[qv + (latent > 0), J] variance_value;
  for (a in 1:qv) variance_value[a] = value[v_rows[a]];
  if (latent > 0) {
    matrix[qu, J] u = (value - part)[u_rows];
    if (standardised) u = u ./ sds[u_rows];
    variance_value[qv + 1] = latent_value(lambda, u);
  }
  if (sparse) {
    target += sparse_rows_lpdf(y | X_value, W_value, X_column, W_column, gamma[row_gamma],
                               value[u_rows], delta[row_delta], variance_value);
  } else {
    target += rows_lpdf(y | X, half_W, start, gamma[row_gamma], value[u_rows], delta[row_delta],
                        variance_value);
  }
  target += std_normal_lpdf(to_vector(found[1])) + sum(found[3]);
  target += beta_lpdf(0.5 * (1 + cpc) | shape, shape) - n_cpc * log2(); // d beta / d cpc
  target += beta_lpdf(0.5 * (1 + free_rho) | free_shape, free_shape) - n_free * log2();
  if (t_effects) {
    target += inv_gamma_lpdf(mixing | 0.5 * nu[1], 0.5 * nu[1]);
    target += gamma_lpdf(nu | nu_prior[1], nu_prior[2]) - gamma_lccdf(1 | nu_prior[1], nu_prior[2]);
  }
  if (sum(tau_prior_kind) > 0) { // no level-2 functions then
    target += covariance_prior_lpdf(sd | correlation_factor(cpc, block), block, tau_prior_kind,
                                    tau_prior_df, tau_prior_scale);
  }
  target += sd_prior_lpdf(sd | sd_prior_kind, sd_prior);
  target += coefficient_prior_lpdf(gamma | gamma_prior_kind, gamma_prior);
  target += coefficient_prior_lpdf(delta | delta_prior_kind, delta_prior);
  target += coefficient_prior_lpdf(lambda | lambda_prior_kind, lambda_prior);
  target += coefficient_prior_lpdf(kappa | kappa_prior_kind, kappa_prior);
}
generated quantities {
  vector[n_rho] rho; // correlations that do not vary between groups, pairs row by row
  matrix[q, J] effects; // u, then v
  {
    int n = 0;
    matrix[q, J] S = group_sds(sd, kappa, H, kappa_pair, varies);
    if (t_effects) S = S .* rep_matrix(sqrt(mixing)', q);
    array[q, q] row_vector[J] L
      = group_factors(cpc, free_rho, kappa, H, kappa_pair, varies, block, own_block, partial);
    for (a in 1:q) {
      for (b in 1:(a - 1)) {
        if (block[b] == block[a] && varies[a, b] == 0) {
          n += 1;
          rho[n] = 0; // constant, so that any group has it
          for (c in 1:b) rho[n] += L[a, c][1] * L[b, c][1];
        }
      }
    }
    matrix[q, J] part = fixed_parts(between_mean, gamma, u_rows, between_variance, delta, v_rows, J);
    effects = group_values(raw, part, S, L, block, centred, weight, toward, tie)[2] - part;
  }
}
