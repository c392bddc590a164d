#include "cli/options/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "cli/options/refused_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Options, RunTakesEveryFlag) {
  const auto parsed = parse_command_line({"run",         "m.gguf",     "-p",
                                          "hi",          "--memory",   "24M",
                                          "--context",   "512",        "-n",
                                          "7",           "--temp",     "0",
                                          "--top-k",     "3",          "--top-p",
                                          "0.5",         "--min-p",    "0.1",
                                          "--seed",      "4294967295", "--stats",
                                          "json",        "--threads",  "2",
                                          "--system",    "be kind",    "--no-direct-io",
                                          "--no-repack", "--verbose",  "--repeat-penalty",
                                          "1.1",         "--trace",    "a.trace"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kRun);
  const RunOptions& options = parsed->options;
  EXPECT_EQ(options.engine.model, "m.gguf");
  EXPECT_EQ(options.engine.memory, 24 * kMiB);
  EXPECT_EQ(options.engine.context, 512U);
  EXPECT_EQ(options.engine.threads, 2U);
  EXPECT_FALSE(options.engine.direct_io);
  EXPECT_FALSE(options.engine.repack);
  EXPECT_EQ(options.prompt, "hi");
  EXPECT_EQ(options.system, "be kind");
  EXPECT_EQ(options.max_tokens, 7);
  EXPECT_EQ(options.sampling.temperature, 0.0F);
  EXPECT_EQ(options.sampling.top_k, 3);
  EXPECT_EQ(options.sampling.top_p, 0.5F);
  EXPECT_EQ(options.sampling.min_p, 0.1F);
  EXPECT_EQ(options.sampling.repeat_penalty, 1.1F);
  EXPECT_EQ(options.sampling.seed, 4294967295U);
  EXPECT_EQ(options.stats, StatsFormat::kJson);
  EXPECT_TRUE(options.verbose);
  EXPECT_EQ(options.trace, "a.trace");
  EXPECT_TRUE(options.engine.record_routing);
}

TEST(Options, ATemplateIsReadFromItsFile) {
  const TempDir folder;
  const std::string file = folder.write("x.jinja", "{{ .Prompt }}\n");
  for (const char* command : {"run", "chat"}) {
    const auto parsed = parse_command_line({command, "--chat-template", file});
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->options.engine.chat_template, "{{ .Prompt }}");
  }
  const auto serve = parse_command_line({"serve", "m.gguf", "--chat-template", file});
  ASSERT_TRUE(serve) << serve.error().message;
  EXPECT_EQ(serve->serve.engine.chat_template, "{{ .Prompt }}");
}

TEST(Options, Devices) {
  const auto parsed = parse_command_line({"devices", "--json"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kDevices);
  EXPECT_TRUE(parsed->devices.json);
  EXPECT_FALSE(parse_command_line({"devices"})->devices.json);
}

TEST(Options, Kv) {
  const auto list = parse_command_line({"kv", "list", "--json"});
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->action, CommandLine::Action::kKv);
  EXPECT_EQ(list->kv.what, KvOptions::What::kList);
  EXPECT_TRUE(list->kv.json);
  const auto clear = parse_command_line({"kv", "clear", "m.gguf"});
  ASSERT_TRUE(clear) << clear.error().message;
  EXPECT_EQ(clear->kv.what, KvOptions::What::kClear);
  EXPECT_EQ(clear->kv.model, "m.gguf");
  EXPECT_EQ(parse_command_line({"kv", "clear"})->kv.model, std::nullopt);
  EXPECT_EQ(parse_command_line({"kv"})->kv.what, KvOptions::What::kList);
  EXPECT_FALSE(parse_command_line({"kv", "list", "m.gguf"}));
}

TEST(Options, Pull) {
  const auto pull = parse_command_line({"pull", "qwen3:30b", "--yes"});
  ASSERT_TRUE(pull) << pull.error().message;
  EXPECT_EQ(pull->action, CommandLine::Action::kPull);
  EXPECT_EQ(pull->pull.name, "qwen3:30b");
  EXPECT_TRUE(pull->yes);
  EXPECT_FALSE(parse_command_line({"pull", "qwen3:30b"})->yes);
  EXPECT_TRUE(parse_command_line({"serve", "qwen3:30b", "--yes"})->yes);
  expect_refused({{"pull"}, {"NAME"}});
}

TEST(Options, WhatIsKeptOnDisk) {
  EXPECT_FALSE(parse_command_line({"run", "m.gguf"})->options.engine.keep_kv) << "one prompt";
  EXPECT_FALSE(parse_command_line({"run", "m.gguf", "--kv-disk", "0"})->options.engine.keep_kv);
  EXPECT_TRUE(parse_command_line({"run", "m.gguf", "--kv-disk", "2G"})->options.engine.keep_kv);
  const auto chat = parse_command_line({"chat", "m.gguf"});
  EXPECT_TRUE(chat->options.engine.keep_kv);
  EXPECT_EQ(chat->options.engine.kv_disk, std::nullopt);
  EXPECT_EQ(parse_command_line({"chat", "m.gguf", "--kv-disk", "0"})->options.engine.kv_disk, 0U);
  const auto serve = parse_command_line({"serve", "m.gguf", "--kv-disk", "20G"});
  EXPECT_TRUE(serve->serve.engine.keep_kv);
  EXPECT_EQ(serve->serve.engine.kv_disk, 20 * kGiB);
  EXPECT_EQ(parse_command_line({"serve", "--kv-disk", "auto"})->serve.engine.kv_disk, std::nullopt);
  EXPECT_FALSE(parse_command_line({"serve", "--kv-disk", "much"}));
}

TEST(Options, DefaultsAreTheEngines) {
  const auto parsed = parse_command_line({"run"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->options.engine.model.empty());
  EXPECT_EQ(parsed->options.engine.context, 0) << "what the budget affords";
  EXPECT_EQ(parsed->options.engine.memory, std::nullopt);
  EXPECT_TRUE(parsed->options.engine.direct_io);
  EXPECT_TRUE(parsed->options.engine.repack);
  EXPECT_EQ(parsed->options.sampling.temperature, SamplingOptions().temperature);
  EXPECT_EQ(parsed->options.sampling.seed, std::nullopt);
  EXPECT_EQ(parsed->options.max_tokens, -1);
  EXPECT_EQ(parsed->options.stats, StatsFormat::kText);
  EXPECT_FALSE(parsed->options.engine.record_routing);
}

TEST(Options, EveryCommandThatOpensAModelTakesAGpu) {
  for (const char* command : {"run", "chat", "serve", "inspect", "bench"}) {
    const auto parsed =
        parse_command_line({command, "m.gguf", "--gpu", "CUDA0,CUDA1", "--vram", "6G", "--mixed-compute"});
    ASSERT_TRUE(parsed) << command << ": " << parsed.error().message;
    const EngineOptions& engine =
        parsed->action == CommandLine::Action::kServe ? parsed->serve.engine : parsed->options.engine;
    const bool inspects = parsed->action == CommandLine::Action::kInspect;
    const bool measures = parsed->action == CommandLine::Action::kBench;
    EXPECT_EQ(inspects ? parsed->inspect.gpu : measures ? parsed->bench.gpu : engine.gpu, "CUDA0,CUDA1") << command;
    EXPECT_EQ(inspects ? parsed->inspect.vram : measures ? parsed->bench.vram : engine.vram, 6 * kGiB) << command;
    EXPECT_TRUE(inspects   ? parsed->inspect.mixed_compute
                : measures ? parsed->bench.mixed_compute
                           : engine.mixed_compute)
        << command;
  }
  for (const char* command : {"run", "serve", "inspect", "bench"}) {
    const auto parsed = parse_command_line({command, "m.gguf", "--gpu", "CUDA0,CUDA1", "--vram", "6G,12G"});
    ASSERT_TRUE(parsed) << command << ": " << parsed.error().message;
    const bool serves = parsed->action == CommandLine::Action::kServe;
    const EngineOptions& engine = serves ? parsed->serve.engine : parsed->options.engine;
    const std::vector<uint64_t>& each = parsed->action == CommandLine::Action::kInspect ? parsed->inspect.vram_each
                                        : parsed->action == CommandLine::Action::kBench ? parsed->bench.vram_each
                                                                                        : engine.vram_each;
    EXPECT_EQ(each, (std::vector<uint64_t>{6 * kGiB, 12 * kGiB})) << command;
    EXPECT_EQ(engine.vram, std::nullopt) << command;
  }
  const auto by_default = parse_command_line({"run", "--vram", "auto"});
  ASSERT_TRUE(by_default) << by_default.error().message;
  EXPECT_EQ(by_default->options.engine.gpu, "auto");
  EXPECT_EQ(by_default->options.engine.vram, std::nullopt);
}

TEST(Options, MemoryAutoIsNoLimitOfOurs) {
  const auto parsed = parse_command_line({"chat", "--memory", "auto"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->options.engine.memory, std::nullopt);
}

TEST(Options, MirrorsMayBeRepeated) {
  const std::vector<std::filesystem::path> given = {"/disk2/m.gguf", "/disk3"};
  const auto mirrors = [](const char* command) {
    return parse_command_line({command, "--mirror", "/disk2/m.gguf", "m.gguf", "--mirror", "/disk3"});
  };
  for (const char* command : {"run", "chat"}) {
    const auto parsed = mirrors(command);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->options.engine.mirrors, given);
    EXPECT_EQ(parsed->options.engine.model, "m.gguf");
  }
  EXPECT_EQ(mirrors("serve").value().serve.engine.mirrors, given);
  EXPECT_EQ(mirrors("bench").value().bench.mirrors, given);
  EXPECT_TRUE(parse_command_line({"run"}).value().options.engine.mirrors.empty());
}

TEST(Options, WorkersMayBeRepeated) {
  const std::vector<std::string> given = {"127.0.0.1:52525", "[::1]:7"};
  const auto workers = [](const char* command) {
    return parse_command_line(
        {command, "--worker", "127.0.0.1:52525", "m.gguf", "--worker", "[::1]:7", "--split", "experts"});
  };
  for (const char* command : {"run", "chat"}) {
    const auto parsed = workers(command);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->options.engine.workers, given);
    EXPECT_EQ(parsed->options.engine.split, WorkerSplit::kExperts);
  }
  EXPECT_EQ(workers("serve").value().serve.engine.workers, given);
  EXPECT_EQ(workers("bench").value().bench.workers, given);
  EXPECT_EQ(workers("bench").value().bench.split, WorkerSplit::kExperts);
  EXPECT_EQ(workers("inspect").value().inspect.workers, given);
  EXPECT_EQ(workers("inspect").value().inspect.split, WorkerSplit::kExperts);
  EXPECT_TRUE(parse_command_line({"run"}).value().options.engine.workers.empty());
  EXPECT_FALSE(parse_command_line({"run"}).value().options.engine.trust_network);
  EXPECT_TRUE(parse_command_line({"run", "--trust-network"}).value().options.engine.trust_network);
  EXPECT_TRUE(parse_command_line({"bench", "m.gguf", "--trust-network"}).value().bench.trust_network);
}

TEST(Options, InteractiveRunIsChat) {
  for (const auto& words : {std::vector<std::string>{"run", "-i"}, {"run", "--interactive", "-p", "x"}, {"chat"}}) {
    const auto parsed = parse_command_line(words);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->action, CommandLine::Action::kChat);
  }
}

TEST(Options, InspectTakesEveryFlag) {
  const auto parsed = parse_command_line({"inspect", "m.gguf", "--memory", "32G", "--context", "16384", "--threads",
                                          "3", "--tensors", "--json", "--html", "plan.html"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kInspect);
  const InspectOptions& options = parsed->inspect;
  EXPECT_EQ(options.model, "m.gguf");
  EXPECT_EQ(options.memory, 32 * kGiB);
  EXPECT_EQ(options.context, 16384U);
  EXPECT_EQ(options.threads, 3U);
  EXPECT_TRUE(options.tensors);
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.html, "plan.html");
}

TEST(Options, InspectNeedsNothing) {
  const auto parsed = parse_command_line({"inspect", "--memory", "auto"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_TRUE(parsed->inspect.model.empty());
  EXPECT_EQ(parsed->inspect.memory, std::nullopt);
  EXPECT_EQ(parsed->inspect.context, std::nullopt);
  EXPECT_FALSE(parsed->inspect.json);
}

TEST(Options, PromptMayLookLikeAFlag) {
  EXPECT_EQ(parse_command_line({"run", "-p", "-n"}).value().options.prompt, "-n");
}

TEST(Options, HelpAndVersionArePrinted) {
  const auto help = parse_command_line({"run", "--help"});
  ASSERT_TRUE(help);
  EXPECT_EQ(help->action, CommandLine::Action::kPrint);
  EXPECT_THAT(help->text, AllOf(HasSubstr("--memory"), HasSubstr("Examples:"), HasSubstr("default 0.8")));
  EXPECT_THAT(parse_command_line({"--help"}).value().text, AllOf(HasSubstr("run"), HasSubstr("chat")));
  EXPECT_EQ(parse_command_line({"--version"}).value().text, "hypura " HYPURA_VERSION "\n");
}

TEST(Options, NothingShowsTheHelp) {
  const auto help = parse_command_line({});
  ASSERT_TRUE(help);
  EXPECT_EQ(help->action, CommandLine::Action::kPrint);
  EXPECT_EQ(help->text, parse_command_line({"--help"}).value().text);
}

TEST(Options, ProfileTakesItsFlags) {
  const auto plain = parse_command_line({"profile"});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->action, CommandLine::Action::kProfile);
  EXPECT_TRUE(plain->profile.path.empty());
  EXPECT_FALSE(plain->profile.force || plain->profile.json);
  EXPECT_EQ(plain->profile.gpu, "auto");
  const auto repack = parse_command_line({"pack", "model.gguf"});
  ASSERT_TRUE(repack) << repack.error().message;
  EXPECT_EQ(repack->action, CommandLine::Action::kRepack);
  EXPECT_EQ(repack->repack.model, "model.gguf");
  EXPECT_FALSE(repack->repack.force || repack->repack.memory);
  const auto forced = parse_command_line({"repack", "model.gguf", "--force", "--memory", "6G"});
  ASSERT_TRUE(forced) << forced.error().message;
  EXPECT_TRUE(forced->repack.force);
  EXPECT_EQ(forced->repack.memory, 6ULL << 30);
  for (const char* flag : {"--no-repacked", "--no-packed"}) {
    EXPECT_FALSE(parse_command_line({"run", flag})->options.engine.repacked) << flag;
  }
  EXPECT_TRUE(parse_command_line({"run"})->options.engine.repacked);
  const auto all = parse_command_line({"profile", "--force", "--json", "--path", "/models", "--gpu", "CUDA0,CPU"});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->profile.path, "/models");
  EXPECT_TRUE(all->profile.force && all->profile.json);
  EXPECT_TRUE(parse_command_line({"profile", "--again"})->profile.again);
  EXPECT_FALSE(parse_command_line({"profile", "--again", "--force"})) << "one of them";
  EXPECT_EQ(all->profile.gpu, "CUDA0,CPU");
  EXPECT_THAT(parse_command_line({"profile", "--help"}).value().text,
              AllOf(HasSubstr("--path"), HasSubstr("Examples")));
}

class OptionsRefuse : public testing::TestWithParam<Refused> {};

TEST_P(OptionsRefuse, ByName) {
  expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Values, OptionsRefuse,
                         testing::Values(Refused{{"run", "--threads", "0"}, {"--threads", "1 to 1024"}},
                                         Refused{{"run", "--threads", "-2"}, {"--threads", "1 to 1024"}},
                                         Refused{{"run", "--temp", "-0.5"}, {"--temp", "0 or more"}},
                                         Refused{{"run", "--temp", "nan"}, {"--temp", "'nan'"}},
                                         Refused{{"run", "--temp", "inf"}, {"--temp", "'inf'"}},
                                         Refused{{"run", "--temp", "1x"}, {"--temp", "'1x'"}},
                                         Refused{{"run", "--top-p", "1.5"}, {"--top-p", "0 to 1"}},
                                         Refused{{"run", "--min-p", "-1"}, {"--min-p", "0 to 1"}},
                                         Refused{{"run", "--top-k", "-1"}, {"--top-k", "0 or more"}},
                                         Refused{{"run", "--top-k", "1.5"}, {"--top-k", "whole"}},
                                         Refused{{"run", "--repeat-penalty", "0"}, {"--repeat-penalty", "0.01"}},
                                         Refused{{"run", "--context", "0"}, {"--context", "1 or more"}},
                                         Refused{{"run", "--context", "99999999999"}, {"--context"}},
                                         Refused{{"run", "-n", "0"}, {"--max-tokens", "1 or more"}},
                                         Refused{{"run", "--seed", "4294967296"}, {"--seed", "4294967295"}},
                                         Refused{{"run", "--seed", ""}, {"--seed"}},
                                         Refused{{"run", "--mirror", ""}, {"--mirror", "empty"}},
                                         Refused{{"run", "--mirror"}, {"--mirror"}},
                                         Refused{{"inspect", "--mirror", "m"}, {"--mirror"}},
                                         Refused{{"run", "--worker", "box"}, {"--worker", "'box'", "127.0.0.1:52525"}},
                                         Refused{{"run", "--split", "rows"}, {"--split", "'rows'", "experts"}},
                                         Refused{{"run", "--memory", "6Q"}, {"--memory", "'6Q'", "auto"}},
                                         Refused{{"run", "--memory", "-1G"}, {"--memory"}},
                                         Refused{{"run", "--gpu", ""}, {"--gpu", "hypura devices"}},
                                         Refused{{"inspect", "--gpu", "CUDA0,"}, {"--gpu", "'CUDA0,'"}},
                                         Refused{{"chat", "--vram", "6Q"}, {"--vram", "'6Q'", "auto"}},
                                         Refused{{"run", "--vram", "6G,"}, {"--vram", "''", "6G,12G"}},
                                         Refused{{"run", "--vram", "6G,auto"}, {"--vram", "'auto'", "6G,12G"}},
                                         Refused{{"inspect", "--memory", "much"}, {"--memory", "'much'"}},
                                         Refused{{"inspect", "--context", "0"}, {"--context", "1 or more"}},
                                         Refused{{"inspect", "--threads", "0"}, {"--threads", "1 to 1024"}},
                                         Refused{{"inspect", "--html", ""}, {"--html", "empty"}},
                                         Refused{{"inspect", "--temp", "1"}, {"'--temp'", "hypura inspect --help"}},
                                         Refused{{"chat", "--stats", "xml"}, {"--stats", "json"}}));

INSTANTIATE_TEST_SUITE_P(
    Words, OptionsRefuse,
    testing::Values(Refused{{"walk"}, {"'walk'", "hypura --help"}},
                    Refused{{"run", "--bogus"}, {"'--bogus'", "hypura run --help"}},
                    Refused{{"run", "a.gguf", "b.gguf"}, {"'b.gguf'"}}, Refused{{"run", ""}, {"MODEL"}},
                    Refused{{"run", "--temp"}, {"--temp"}}, Refused{{"run", "--temp", "1", "--temp", "1"}, {"once"}},
                    Refused{{"chat", "--raw"}, {"'--raw'"}},
                    Refused{{"run", "-p", "a", "-f", "b"}, {"--prompt", "--file"}},
                    Refused{{"run", "--raw", "--system", "x"}, {"--raw", "--system"}},
                    Refused{{"run", "--raw", "--chat-template", __FILE__}, {"--raw", "--chat-template"}},
                    Refused{{"chat", "--chat-template", "/nowhere/x"}, {"--chat-template", "cannot be read"}},
                    Refused{{"serve", "--chat-template", __FILE__}, {"--chat-template", "name one"}},
                    Refused{{"run", "--raw", "-i"}, {"--raw", "--interactive"}},
                    Refused{{"run", "-i", "-f", "-"}, {"--file -", "--interactive"}}, Refused{{"pack"}, {"MODEL"}},
                    Refused{{"pack", ""}, {"MODEL", "empty"}}, Refused{{"profile", "--path", ""}, {"--path", "empty"}},
                    Refused{{"devices", "CUDA0"}, {"'CUDA0'", "hypura devices --help"}},
                    Refused{{"devices", "--jsn"}, {"'--jsn'"}}, Refused{{"profile", "--gpu", ""}, {"--gpu", "empty"}},
                    Refused{{"profile", "model.gguf"}, {"'model.gguf'", "hypura profile --help"}}));

}  // namespace
}  // namespace hypura
