#include "cli/run/prompt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
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

TEST(Prompt, AByteOrderMarkIsNoText) {
  const TempDir dir;
  RunOptions options;
  options.file = dir.write("bom.txt", "\xEF\xBB\xBFGröße\r\n");
  EXPECT_EQ(read(options, "").value(), "Größe");
  EXPECT_EQ(read({}, "\xEF\xBB\xBF one").value(), " one");
  EXPECT_EQ(read({}, "\xEF\xBB\xBF").error().code, ErrorCode::kUsage) << "nothing is left";
  EXPECT_EQ(read({}, "a\xEF\xBB\xBF").value(), "a\xEF\xBB\xBF") << "it is one at the beginning only";
}

TEST(Prompt, APipeIsReadAndNotWaitedFor) {
  const TempDir dir;
  RunOptions options;
  options.file = dir.path() / "pipe";
  ASSERT_EQ(::mkfifo(options.file->c_str(), 0600), 0);
  const auto unwritten = read(options, "");
  ASSERT_FALSE(unwritten);
  EXPECT_THAT(unwritten.error().message, testing::HasSubstr("is empty"));
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ASSERT_EQ(::write(ends[1], "piped\n", 6), 6);
  ::close(ends[1]);
  options.file = fmt::format("/dev/fd/{}", ends[0]);
  EXPECT_EQ(read(options, "").value(), "piped");
  ::close(ends[0]);
  options.file = "/dev/null";
  EXPECT_FALSE(read(options, ""));
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
