#include "cli/pull/pull_report.h"

#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

TEST(PullReport, SaysHowMuchIsToBeFetchedAndWhatRoomThereIs) {
  RemoteModel model;
  model.name = "hf.co/org/repo:Q4_K_M";
  model.parts.resize(2);
  model.parts[0].size = 3 * kGiB;
  model.parts[1].size = kGiB;
  EXPECT_EQ(size_sentence(model, 4 * kGiB, 10 * kGiB, "/cache"),
            "hf.co/org/repo:Q4_K_M: 4.0 GiB in 2 files; 10.0 GiB are free in /cache");
  EXPECT_EQ(size_sentence(model, kGiB, std::nullopt, "/cache"),
            "hf.co/org/repo:Q4_K_M: 4.0 GiB in 2 files, of which 1.0 GiB are still to be fetched");
}

TEST(PullReport, TellsRateAndTimeLeft) {
  RateMeter meter;
  meter.add(RateMeter::Seconds(0), 0);
  EXPECT_EQ(meter.bytes_per_second(), 0);
  meter.add(RateMeter::Seconds(2), 20 * kMiB);
  EXPECT_EQ(meter.bytes_per_second(), 10.0 * kMiB);
  FetchProgress progress;
  progress.bytes = 20 * kMiB;
  progress.size = 620 * kMiB;
  EXPECT_EQ(progress_words(progress, meter.bytes_per_second()), "20.0 MiB of 620.0 MiB, 10.0 MiB/s, 60 s left");
  EXPECT_EQ(progress_words(progress, 0), "20.0 MiB of 620.0 MiB");
  progress.state = DownloadProgress::State::kWaiting;
  EXPECT_EQ(progress_words(progress, 5), "another program is fetching it, waiting");
}

TEST(PullReport, OldReadingsDoNotCountAndABeginningAnewStartsAnew) {
  RateMeter meter;
  for (int second = 0; second <= 100; ++second) {
    meter.add(RateMeter::Seconds(second), second < 50 ? 0 : static_cast<uint64_t>(second) * kMiB);
  }
  EXPECT_EQ(meter.bytes_per_second(), 1.0 * kMiB);
  meter.add(RateMeter::Seconds(101), 0);
  EXPECT_EQ(meter.bytes_per_second(), 0);
}

TEST(PullReport, DurationsAreShort) {
  EXPECT_EQ(duration_words(0.2), "1 s");
  EXPECT_EQ(duration_words(299), "5 min");
  EXPECT_EQ(duration_words(7800), "2 h 10 min");
}

}  // namespace
}  // namespace hypura
