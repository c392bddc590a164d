#include "model/roles.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

constexpr std::array<int64_t, 4> kVector{64, 1, 1, 1};
constexpr std::array<int64_t, 4> kMatrix{64, 32, 1, 1};
constexpr std::array<int64_t, 4> kStack{64, 32, 8, 1};

TEST(Roles, LayerComesFromTheName) {
  EXPECT_EQ(layer_of("blk.0.attn_q.weight"), 0);
  EXPECT_EQ(layer_of("blk.117.ffn_up_exps.weight"), 117);
  for (const char* name : {"output.weight", "blk.x.attn_q.weight", "blk.-1.attn_q.weight", "blk.", "blk.3", "blk..a",
                           "blk.99999999999.attn_q.weight", "enc.blk.2.attn_q.weight"}) {
    EXPECT_EQ(layer_of(name), -1) << name;
  }
}

TEST(Roles, TablesAndHeads) {
  EXPECT_EQ(role_of("token_embd.weight", kMatrix), TensorRole::kEmbedding);
  EXPECT_EQ(role_of("per_layer_token_embd.weight", kMatrix), TensorRole::kEmbedding);
  EXPECT_EQ(role_of("blk.61.nextn.embed_tokens.weight", kMatrix), TensorRole::kEmbedding);
  EXPECT_EQ(role_of("output.weight", kMatrix), TensorRole::kOutput);
  EXPECT_EQ(role_of("blk.61.nextn.shared_head_head.weight", kMatrix), TensorRole::kOutput);
}

TEST(Roles, Norms) {
  for (const char* name : {"output_norm.weight", "token_embd_norm.weight", "blk.0.attn_norm.weight",
                           "blk.0.attn_norm.bias", "blk.0.attn_q_a_norm.weight", "blk.0.ffn_norm_exps.weight",
                           "blk.0.post_ffw_norm_1.weight", "blk.0.ssm_norm.weight", "blk.0.indexer.k_norm.bias",
                           "blk.0.nextn.enorm.weight", "blk.0.time_mix_ln.weight", "enc.blk.1.attn_norm.weight"}) {
    EXPECT_EQ(role_of(name, kVector), TensorRole::kNorm) << name;
  }
}

TEST(Roles, MixersOfAllFamilies) {
  for (const char* name :
       {"blk.0.attn_q.weight", "blk.0.attn_qkv.weight", "blk.0.attn_output.weight", "blk.0.attn_gate.weight",
        "blk.0.attn_q_a.weight", "blk.0.attn_q_b.weight", "blk.0.attn_kv_a_mqa.weight", "blk.0.attn_kv_b.weight",
        "blk.0.ssm_in.weight", "blk.0.ssm_out.weight", "blk.0.ssm_a", "blk.0.ssm_conv1d.weight",
        "blk.0.time_mix_key.weight", "blk.0.shortconv.in_proj.weight", "blk.0.indexer.attn_k.weight",
        "blk.0.vis_attn_qkv.weight", "dec.blk.3.cross_attn_q.weight"}) {
    EXPECT_EQ(role_of(name, kMatrix), TensorRole::kAttention) << name;
  }
  // MLA's per-head matrices are 3-D too, and are no experts.
  EXPECT_EQ(role_of("blk.0.attn_k_b.weight", kStack), TensorRole::kAttention);
  EXPECT_EQ(role_of("blk.0.attn_v_b.weight", kStack), TensorRole::kAttention);
}

TEST(Roles, Experts) {
  for (const char* name : {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight",
                           "blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_up_chexps.weight"}) {
    EXPECT_EQ(role_of(name, kStack), TensorRole::kRoutedExpert) << name;
  }
  EXPECT_EQ(role_of("blk.0.ffn_up_exps.weight", kMatrix), TensorRole::kDenseFfn) << "one expert is no choice";
  EXPECT_EQ(role_of("blk.0.ffn_up_exps.bias", kMatrix), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.ffn_up_exps.scale", kVector), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.ffn_up_shexp.weight", kMatrix), TensorRole::kSharedExpert);
  EXPECT_EQ(role_of("blk.0.ffn_gate_inp.weight", kMatrix), TensorRole::kRouter);
  EXPECT_EQ(role_of("blk.0.ffn_gate_tid2eid.weight", kMatrix), TensorRole::kRouter);
  EXPECT_EQ(role_of("blk.0.ffn_gate_inp_shexp.weight", kMatrix), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.exp_probs_b.bias", kVector), TensorRole::kOther);
}

TEST(Roles, DenseFfn) {
  for (const char* name :
       {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "blk.0.ffn_gate.7.weight",
        "blk.0.channel_mix_value.weight", "blk.0.vis_down.weight", "enc.blk.0.ffn_up.weight"}) {
    EXPECT_EQ(role_of(name, kMatrix), TensorRole::kDenseFfn) << name;
  }
}

TEST(Roles, TheRestIsOther) {
  EXPECT_EQ(role_of("rope_freqs.weight", kVector), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.attn_q.bias", kVector), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.attn_sinks.weight", kVector), TensorRole::kOther);
  EXPECT_EQ(role_of("blk.0.attn_q.scale", kVector), TensorRole::kOther);
  EXPECT_EQ(role_of("something.new.weight", kMatrix), TensorRole::kOther);
  EXPECT_EQ(role_of("", kMatrix), TensorRole::kOther);
}

}  // namespace
}  // namespace hypura
