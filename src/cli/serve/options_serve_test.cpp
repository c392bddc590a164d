#include "cli/serve/options_serve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <ostream>

#include "cli/options/options.h"
#include "cli/options/refused_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ServeOptionsTest, TakeEveryFlag) {
  const auto parsed = parse_command_line({"serve",
                                          "a.gguf",
                                          "b.gguf",
                                          "--host",
                                          "0.0.0.0",
                                          "--port",
                                          "11434",
                                          "--memory",
                                          "6G",
                                          "--context",
                                          "8192",
                                          "--parallel",
                                          "2",
                                          "--queue",
                                          "9",
                                          "--api-key",
                                          "secret",
                                          "--origins",
                                          "https://a.example, app://*",
                                          "--keep-alive",
                                          "10m",
                                          "--threads",
                                          "3",
                                          "--kv-type",
                                          "q8_0",
                                          "--no-direct-io",
                                          "--no-repack",
                                          "--grace",
                                          "0.5",
                                          "--verbose"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kServe);
  const ServeOptions& options = parsed->serve;
  EXPECT_THAT(options.models, ElementsAre("a.gguf", "b.gguf"));
  EXPECT_EQ(options.host, "0.0.0.0");
  EXPECT_EQ(options.port, 11434);
  EXPECT_EQ(options.engine.memory, 6 * kGiB);
  EXPECT_EQ(options.context, 8192U);
  EXPECT_EQ(options.parallel, 2U);
  EXPECT_EQ(options.queue, 9U);
  EXPECT_EQ(options.api_key, "secret");
  EXPECT_THAT(options.origins.value(), ElementsAre("https://a.example", "app://*"));
  EXPECT_EQ(options.keep_alive.value().time, std::chrono::minutes(10));
  EXPECT_EQ(options.engine.threads, 3U);
  EXPECT_EQ(options.engine.kv_type, KvType::kQ8_0);
  EXPECT_FALSE(options.engine.direct_io);
  EXPECT_FALSE(options.engine.repack);
  EXPECT_EQ(options.grace, 0.5);
  EXPECT_TRUE(options.verbose);
}

TEST(ServeOptionsTest, NeedNothing) {
  const auto parsed = parse_command_line({"serve"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  const ServeOptions& options = parsed->serve;
  EXPECT_TRUE(options.models.empty());
  EXPECT_FALSE(options.host || options.port || options.context || options.parallel || options.queue ||
               options.api_key || options.origins || options.keep_alive || options.verbose);
  EXPECT_EQ(options.engine.memory, std::nullopt);
  EXPECT_TRUE(options.engine.direct_io);
  EXPECT_TRUE(options.engine.repack);
  EXPECT_EQ(options.grace, 10);
}

TEST(ServeOptionsTest, AddressesOfSixAreHosts) {
  EXPECT_EQ(parse_command_line({"serve", "--host", "::1"}).value().serve.host, "::1");
  EXPECT_EQ(parse_command_line({"serve", "--host", "[::]"}).value().serve.host, "[::]");
}

TEST(ServeOptionsTest, KeepAliveIsATimeOrSeconds) {
  const auto time = [](const char* text) {
    return parse_command_line({"serve", "--keep-alive", text}).value().serve.keep_alive.value().time;
  };
  EXPECT_EQ(time("30"), std::chrono::seconds(30));
  EXPECT_EQ(time("1h30m"), std::chrono::minutes(90));
  EXPECT_EQ(time("0"), std::chrono::seconds(0));
  EXPECT_LT(time("-1"), std::chrono::seconds(0));
}

TEST(ServeOptionsTest, HelpNamesFlagsAndEnvironment) {
  EXPECT_THAT(parse_command_line({"serve", "--help"}).value().text,
              AllOf(HasSubstr("--keep-alive"), HasSubstr("OLLAMA_HOST"), HasSubstr("--port 11434")));
}

class ServeOptionsRefuse : public testing::TestWithParam<Refused> {};

TEST_P(ServeOptionsRefuse, ByName) {
  expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Values, ServeOptionsRefuse,
    testing::Values(Refused{{"serve", "--port", "65536"}, {"--port", "0 to 65535"}},
                    Refused{{"serve", "--port", "http"}, {"--port", "'http'"}},
                    Refused{{"serve", "--host", ""}, {"--host"}},
                    Refused{{"serve", "--host", "localhost:80"}, {"--host", "--port"}},
                    Refused{{"serve", "--host", "http://a"}, {"--host", "127.0.0.1"}},
                    Refused{{"serve", "--parallel", "0"}, {"--parallel", "1 to 256"}},
                    Refused{{"serve", "a.gguf", "b.gguf", "--mirror", "/disk2"},
                            {"--mirror '/disk2'", "one model", "2"}},
                    Refused{{"serve", "a.gguf", "b.gguf", "--worker", "box:1"}, {"--worker box:1", "one model"}},
                    Refused{{"serve", "--worker", "box:1"}, {"--worker box:1", "by its name"}},
                    Refused{{"serve", "a.gguf", "--catalogue", "--worker", "box:1"}, {"--catalogue"}},
                    Refused{{"serve", "--queue", "-1"}, {"--queue", "0 to 1000000"}},
                    Refused{{"serve", "--context", "0"}, {"--context", "1 or more"}},
                    Refused{{"serve", "--keep-alive", "soon"}, {"--keep-alive", "'soon'", "5m"}},
                    Refused{{"serve", "--keep-alive", ""}, {"--keep-alive"}},
                    Refused{{"serve", "--origins", "a.example"}, {"--origins", "'a.example'", "https://"}},
                    Refused{{"serve", "--origins", " , "}, {"--origins", "empty"}},
                    Refused{{"serve", "--api-key", ""}, {"--api-key"}},
                    Refused{{"serve", "--grace", "-1"}, {"--grace", "0 to 3600"}},
                    Refused{{"serve", "--kv-type", "q4"}, {"--kv-type", "q8_0"}},
                    Refused{{"serve", "--temp", "1"}, {"'--temp'", "hypura serve --help"}},
                    Refused{{"serve", "--port", "1", "--port", "2"}, {"once"}}, Refused{{"serve", ""}, {"MODEL"}}));

class ServeEnvironment : public testing::Test {
 protected:
  Status read() {
    return add_serve_environment(options, [this](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
  }

  std::map<std::string, std::string> variables;
  ServeOptions options;
};

TEST_F(ServeEnvironment, GivesWhatNoFlagGave) {
  variables = {{"OLLAMA_HOST", "0.0.0.0:9000"}, {"OLLAMA_ORIGINS", "https://a.example,https://b.example"},
               {"OLLAMA_KEEP_ALIVE", "-1"},     {"OLLAMA_CONTEXT_LENGTH", "8192"},
               {"OLLAMA_NUM_PARALLEL", "2"},    {"OLLAMA_MAX_QUEUE", "7"},
               {"HYPURA_API_KEY", "secret"}};
  ASSERT_TRUE(read());
  EXPECT_EQ(options.host, "0.0.0.0");
  EXPECT_EQ(options.port, 9000);
  EXPECT_THAT(options.origins.value(), ElementsAre("https://a.example", "https://b.example"));
  EXPECT_LT(options.keep_alive.value().time.count(), 0);
  EXPECT_EQ(options.context, 8192U);
  EXPECT_EQ(options.parallel, 2U);
  EXPECT_EQ(options.queue, 7U);
  EXPECT_EQ(options.api_key, "secret");
}

TEST_F(ServeEnvironment, FlagsWin) {
  variables = {{"OLLAMA_HOST", "0.0.0.0:9000"}, {"OLLAMA_KEEP_ALIVE", "nonsense"}, {"OLLAMA_NUM_PARALLEL", "x"}};
  options.host = "127.0.0.1";
  options.keep_alive = KeepAlive{std::chrono::minutes(1)};
  options.parallel = 8;
  ASSERT_TRUE(read());
  EXPECT_EQ(options.host, "127.0.0.1");
  EXPECT_EQ(options.port, 9000);
  EXPECT_EQ(options.keep_alive.value().time, std::chrono::minutes(1));
  EXPECT_EQ(options.parallel, 8U);
}

TEST_F(ServeEnvironment, EmptyAndZeroAreTheDefault) {
  variables = {
      {"OLLAMA_HOST", ""}, {"OLLAMA_CONTEXT_LENGTH", "0"}, {"OLLAMA_NUM_PARALLEL", "0"}, {"HYPURA_API_KEY", ""}};
  ASSERT_TRUE(read());
  EXPECT_FALSE(options.host || options.context || options.parallel || options.api_key);
}

TEST_F(ServeEnvironment, OllamasHostHasManyForms) {
  const std::vector<std::tuple<const char*, const char*, int>> forms = {
      {"0.0.0.0", "0.0.0.0", 11434},       {":8000", "127.0.0.1", 8000},  {"example", "example", 11434},
      {"http://10.0.0.1", "10.0.0.1", 80}, {"http://a:81/path", "a", 81}, {"[::1]:8000", "[::1]", 8000},
      {"[::1]", "[::1]", 11434},           {"::1", "::1", 11434},         {" 1.2.3.4:5 ", "1.2.3.4", 5}};
  for (const auto& [text, host, port] : forms) {
    options = ServeOptions();
    variables = {{"OLLAMA_HOST", text}};
    ASSERT_TRUE(read()) << text;
    EXPECT_EQ(options.host, host) << text;
    EXPECT_EQ(options.port, port) << text;
  }
}

TEST_F(ServeEnvironment, NamesTheVariableThatMakesNoSense) {
  const std::vector<std::pair<const char*, const char*>> wrong = {
      {"OLLAMA_HOST", "https://a"},    {"OLLAMA_HOST", "a:b"},          {"OLLAMA_ORIGINS", "a.example"},
      {"OLLAMA_KEEP_ALIVE", "5 cows"}, {"OLLAMA_CONTEXT_LENGTH", "-1"}, {"OLLAMA_NUM_PARALLEL", "many"}};
  for (const auto& [name, value] : wrong) {
    options = ServeOptions();
    variables = {{name, value}};
    const Status status = read();
    ASSERT_FALSE(status) << name << value;
    EXPECT_EQ(status.error().code, ErrorCode::kUsage);
    EXPECT_THAT(status.error().message, testing::StartsWith(std::string(name) + ": "));
  }
}

}  // namespace
}  // namespace hypura
