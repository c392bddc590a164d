#include "cli/serve/idle_profile.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace hypura {
namespace {

using std::chrono::milliseconds;

TEST(IdleProfile, IsWantedWhereAProfileIsDoubtfulOrOfOneTime) {
  const auto at = std::chrono::system_clock::from_time_t(1'764'583'200);  // 2025-12-01T10:00:00Z
  MachineProfile profile;
  profile.measured_at = "2025-12-01T09:50:00Z";
  EXPECT_EQ(wanted_measurement(profile, at), Measurement::kOnceMore);
  profile.measured_at = "2025-12-01T09:59:00Z";
  EXPECT_EQ(wanted_measurement(profile, at), Measurement::kNone) << "minutes apart";
  profile.measured_at = "long ago";
  EXPECT_EQ(wanted_measurement(profile, at), Measurement::kNone);
  profile.measured_at = "2025-12-01T09:50:00Z";
  profile.first_measured_at = "2025-12-01T09:40:00Z";
  EXPECT_EQ(wanted_measurement(profile, at), Measurement::kNone) << "twice is enough";
  profile.contradicted_by = 3;
  EXPECT_EQ(wanted_measurement(profile, at), Measurement::kAnew);
}

TEST(IdleProfile, AProcessTellsHowItEnded) {
  const auto wait = [](IdleWork& work) {
    std::string how;
    for (int i = 0; i < 2000 && how.empty(); ++i) {
      std::this_thread::sleep_for(milliseconds(1));
      how = work.ended();
    }
    return how;
  };
  EXPECT_EQ(wait(*begin_process("/bin/sh", {"-c", "exit 0"})), "done");
  EXPECT_EQ(wait(*begin_process("/bin/sh", {"-c", "exit 5"})), "failed with code 5");
  EXPECT_EQ(wait(*begin_process("/bin/sh", {"-c", "kill -9 $$"})), "ended by signal 9");
  EXPECT_EQ(begin_process("/nowhere/at/all", {}), nullptr);
}

TEST(IdleProfile, AProcessIsGoneAtOnceWhenItIsToEnd) {
  auto work = begin_process("/bin/sleep", {"60"});
  ASSERT_NE(work, nullptr);
  EXPECT_EQ(work->ended(), "");
  const auto began = std::chrono::steady_clock::now();
  work.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
}

}  // namespace
}  // namespace hypura
