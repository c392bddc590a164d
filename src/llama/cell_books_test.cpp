#include "llama/cell_books.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(CellBooks, WhatIsSharedCountsOnce) {
  CellBooks books(3);
  books.append(0, 10);
  books.copy(0, 1, 6);
  books.copy(1, 2, 4);
  EXPECT_EQ(books.used(), 10U);
  EXPECT_EQ(books.shared_tokens(), 10U);
  EXPECT_EQ(books.shared(0), 6U);
  EXPECT_EQ(books.shared(1), 6U);
  EXPECT_EQ(books.shared(2), 4U);
  books.append(1, 5);
  EXPECT_EQ(books.used(), 15U);
  EXPECT_EQ(books.held(1), 11U);
  EXPECT_EQ(books.shared(1), 6U);
}

TEST(CellBooks, ACellIsFreeWhenItsLastHolderIsGone) {
  CellBooks books(2);
  books.append(0, 10);
  books.copy(0, 1, 6);
  books.cut(0, 2);
  EXPECT_EQ(books.used(), 6U) << "the other one has them still";
  EXPECT_EQ(books.shared(1), 2U);
  books.cut(1, 0);
  EXPECT_EQ(books.used(), 2U);
  EXPECT_EQ(books.shared(0), 0U);
  books.append(1, 4);
  EXPECT_EQ(books.used(), 6U);
  books.cut(0, 0);
  books.cut(1, 0);
  EXPECT_EQ(books.used(), 0U);
  EXPECT_EQ(books.shared_tokens(), 0U);
}

TEST(CellBooks, CountsTheCellsOfSome) {
  CellBooks books(3);
  books.append(0, 10);
  books.copy(0, 1, 6);
  books.append(1, 3);
  books.append(2, 20);
  EXPECT_EQ(books.cells_of({true, true, false}, 2, 0), 13U);
  EXPECT_EQ(books.cells_of({true, false, false}, 1, 8), 12U) << "six of the eight are counted already";
  EXPECT_EQ(books.cells_of({false, false, false}, 2, 7), 7U);
}

}  // namespace
}  // namespace hypura
