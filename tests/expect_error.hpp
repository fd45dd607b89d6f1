// EXPECT_ERROR(statement, Type, "part"): the statement throws Type, its message is one line and contains the part.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lossatlas/error.hpp>

#define EXPECT_ERROR(statement, Type, part)                                    \
  EXPECT_THAT([&] { statement; },                                              \
              ::testing::ThrowsMessage<Type>(::testing::AllOf(                 \
                  ::testing::HasSubstr(part), ::testing::Not(::testing::HasSubstr("\n")))))
