#include "cli/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

Result<std::optional<std::string>> read(const RunOptions& options, const std::string& input, bool terminal = false) {
  std::istringstream stream(input);
  return read_prompt(options, stream, terminal);
}

TEST(Prompt, FlagBeatsStandardInput) {
  RunOptions options;
  options.prompt = "from the flag\n";
  EXPECT_EQ(read(options, "ignored").value(), "from the flag\n") << "a flag's text is taken as it stands";
}

TEST(Prompt, StandardInputWithoutItsLastLineBreak) {
  EXPECT_EQ(read({}, "two\nlines\n\n").value(), "two\nlines\n");
  EXPECT_EQ(read({}, "dos\r\n").value(), "dos");
  const std::string large(200'000, 'x');
  EXPECT_EQ(read({}, large).value(), large);
}

TEST(Prompt, NothingAtATerminal) {
  EXPECT_EQ(read({}, "typed", true).value(), std::nullopt);
}

TEST(Prompt, ReadsAFileOrDash) {
  const TempDir dir;
  RunOptions options;
  options.file = dir.path() / "prompt.txt";
  std::ofstream(*options.file) << "Größe\n";
  EXPECT_EQ(read(options, "ignored").value(), "Größe");
  options.file = "-";
  EXPECT_EQ(read(options, "piped", true).value(), "piped");
}

TEST(Prompt, RefusesWhatIsNoText) {
  for (const char* text : {"", "\n", " \t\r\n", "\xff", "cut \xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80",
                           "\xC0\xAF", "\xF4\x90\x80\x80", "\x80"}) {
    const auto prompt = read({}, text);
    ASSERT_FALSE(prompt) << text;
    EXPECT_EQ(prompt.error().code, ErrorCode::kUsage);
  }
  for (const char* text : {"a", "é", "€", "😀", "\xEF\xBB\xBFx"}) {
    EXPECT_TRUE(read({}, text)) << text;
  }
}

TEST(Prompt, NamesTheFileItCannotRead) {
  const TempDir dir;
  for (const auto& path : {dir.path() / "missing", dir.path()}) {
    RunOptions options;
    options.file = path;
    const auto prompt = read(options, "");
    ASSERT_FALSE(prompt);
    EXPECT_EQ(prompt.error().code, ErrorCode::kIo);
    EXPECT_THAT(prompt.error().message, testing::HasSubstr(path.string()));
  }
}

}  // namespace
}  // namespace hypura
