#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "schema/answer_schema.h"
#include "schema/answer_schema_for_test.h"

namespace hypura {
namespace {

using schema::GrammarForTest;

TEST(AnswerSchemaTest, Arrays) {
  check({
      {R"({"type":"array","items":{"type":"integer"}})", {"[]", "[1]", "[1, 2]"}, {"[\"a\"]", "[1,]", "[1 2]"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]"}},
      {R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"}},
      {R"({"type":"array","minItems":1})", {"[null]", "[1,2]"}, {"[]"}},
      {R"({"type":"array","items":{}})", {"[]", "[1,\"a\",{}]"}, {"{}"}},
      {R"({"type":"array","items":true})", {"[1,\"a\"]"}, {"[a]"}},
      {R"({"type":"array","items":false})", {"[]"}, {"[1]"}},
      {R"({"items":{"type":"integer"}})", {"[1]"}, {"[\"a\"]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]})",
       {R"([1,"a"])"},
       {R"(["a",1])", R"([1,"a",2])"}},
      {R"({"type":"array","items":[{"type":"integer"},{"type":"string"}]})", {R"([1,"a"])"}, {R"(["a",1])"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},"maxItems":3})",
       {"[]", "[1]", R"([1,"a","b"])"},
       {R"(["a"])", "[1,2]", R"([1,"a","b","c"])"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false,"minItems":1})",
       {"[1]"},
       {"[]", "[1,2]"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"null"},"minItems":2})",
       {"[1,null]", "[1,null,null]"},
       {"[1]", "[1,2]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"integer"},{"type":"integer"}],"minItems":1,"maxItems":2})",
       {"[1]", "[1,2]"},
       {"[]", "[1,2,3]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},false]})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"type":"array","contains":{"const":5}})", {"[5]", "[5,1,\"a\"]"}, {"[]", "[1]"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"minimum":10},"minContains":2})",
       {"[10,11]", "[10,11,1]"},
       {"[10]", "[1,2]", "[10,11,\"a\"]"}},
      {R"({"type":"array","contains":{"const":5},"minContains":0})", {"[]", "[1]", "[5]"}, {"5"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"maximum":0},"maxContains":1})",
       {"[0]", "[0,5,7]"},
       {"[0,5,0]", "[]"}},
      {R"({"type":"array","contains":{"const":1},"minItems":3,"maxItems":3})", {"[1,2,3]"}, {"[1]", "[1,2]"}},
      {R"({"type":"array","uniqueItems":false})", {"[1,1]"}, {}},
      {R"({"type":"array","uniqueItems":true,"maxItems":1})", {"[]", "[1]"}, {"[1,1]"}},
      {R"({"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true})",
       {"[]", R"(["a","c"])", R"(["a","b","c"])"},
       {R"(["a","a"])", R"(["d"])"}},
      {R"({"type":"array","items":{"type":["boolean","null"]},"uniqueItems":true,"minItems":2,"maxItems":2})",
       {"[null,true]"},
       {"[true,true]", "[true]", "[null,true,false]"}},
      {R"({"type":"array","allOf":[{"items":{"minimum":2}},{"items":{"maximum":3}}],"items":{"type":"integer"}})",
       {"[2,3]"},
       {"[1]", "[4]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"unevaluatedItems":false})", {"[1]"}, {"[1,2]"}},
      {R"({"type":"array","allOf":[{"prefixItems":[{"type":"integer"}]}],"unevaluatedItems":{"type":"string"}})",
       {"[1]", R"([1,"a"])"},
       {"[1,2]"}},
  });
  check_refused(
      {{R"({"properties":{"tags":{"type":"array","items":{"type":"string"},"uniqueItems":true}},"required":["tags"]})",
        "properties.tags: \"uniqueItems\" cannot be enforced"},
       {R"({"type":"array","minItems":3,"maxItems":2})", "\"minItems\" and \"maxItems\""},
       {R"({"type":"array","items":{"type":"string","enum":[]}})", "items: \"enum\" must be"},
       {R"({"type":"array","minItems":1,"items":false})", "items: it allows no value"},
       {R"({"type":"array","items":5})", "\"items\" must be a schema"},
       {R"({"type":"array","prefixItems":{}})", "\"prefixItems\" must be an array"},
       {R"({"type":"array","prefixItems":[7]})", "\"prefixItems\" must hold schemas"},
       {R"({"type":"array","minItems":"2"})", "\"minItems\" must be a whole number"},
       {R"({"type":"array","uniqueItems":1})", "\"uniqueItems\" must be true or false"},
       {R"({"type":"array","contains":{"const":1},"minContains":2,"maxContains":1})",
        "\"maxContains\" leaves no value"},
       {R"({"type":"array","contains":{"const":1},"prefixItems":[{"type":"integer"}]})",
        "\"contains\" cannot be enforced"}});
}

TEST(AnswerSchemaTest, Objects) {
  check({
      {R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}},"required":["a","b"]})",
       {R"({"b": 1, "a": "x"})", R"({"b":1,"a":"x"})"},
       {R"({"b": 1})", R"({"b": "1", "a": "x"})", "{}", R"({"b": 1, "a": "x", "c": 1})", R"({"b": 1 "a": "x"})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"required":["b"]})",
       {R"({"b":1})", R"({"a":1,"b":1})", R"({"b":1,"c":1})", R"({"a":1,"b":1,"c":1})"},
       {"{}", R"({"a":1})", R"({"a":1,"c":1})", R"({"b":1,"b":1})", R"({,"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"b":1})"},
       {R"({"c":1})"}},
      {R"({"properties":{"a":{"type":"integer"}},"required":["a"]})", {R"({"a":1})"}, {"1", "[]", "{}"}},
      {R"({"type":"object","properties":{}})", {"{}", R"({"a":1})"}, {"[]"}},
      {R"({"type":"object","properties":{},"additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","required":["x"]})", {R"({"x":1})", R"({"x":"a"})"}, {"{}"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a","z"],"additionalProperties":{"type":"string"}})",
       {R"({"a":1,"z":"s"})", R"({"a":1,"z":"s","q":"t"})"},
       {R"({"a":1})", R"({"a":1,"z":1})", R"({"a":1,"z":"s","q":2})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})", {"{}", R"({"a":1,"b":2})"}, {R"({"a":"x"})"}},
      {R"({"type":"object","additionalProperties":{}})", {R"({"a":[1]})"}, {"[]"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":true})",
       {R"({"a":1})", R"({"b":"x"})", R"({"a":1,"ab":"x","":2})"},
       {R"({"a":"x"})", R"({"a":1,"a":2})", R"({"\u0061":"x"})"}},
      {R"({"type":"object","properties":{"größe":{"type":"integer"},"a]b\\^-":{"type":"integer"},"q\"":{"type":"null"}},"additionalProperties":{"type":"string"}})",
       {R"({"größe":1,"a]b\\^-":2,"q\"":null,"x":"y"})", R"({"groß":"s"})"},
       {R"({"größe":"1"})", R"({"q\"":"s"})"}},
      {R"({"type":"object","properties":{"a":false,"b":{"type":"integer"}}})", {"{}", R"({"b":1})"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"not":{}},"b":true}})", {"{}", R"({"b":1})"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"minProperties":2})",
       {R"({"a":1,"b":1})", R"({"b":1,"c":1})", R"({"a":1,"b":1,"c":1})"},
       {"{}", R"({"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"maxProperties":1})",
       {"{}", R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({"type":"object","minProperties":1})", {R"({"a":1})"}, {"{}"}},
      {R"({"type":"object","maxProperties":2,"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":1,"b":1})"},
       {R"({"a":1,"b":1,"c":1})"}},
      {R"({"type":"object","maxProperties":0})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"type":"null"},"minProperties":2,"maxProperties":3})",
       {R"({"a":1,"b":null})", R"({"a":1,"b":null,"c":null})"},
       {R"({"a":1})", R"({"a":1,"b":null,"c":null,"d":null})"}},
      {R"({"type":"object","patternProperties":{"^x-":{"type":"integer"}}})",
       {"{}", R"({"x-a":1})"},
       {R"({"x-a":"s"})", R"({"y":1})"}},
      {R"({"type":"object","patternProperties":{"^x-":{"type":"integer"},"d$":{"minimum":5}},"additionalProperties":false})",
       {R"({"x-a":1,"x-d":5})"},
       {R"({"x-d":4})", R"({"y":1})"}},
      {R"({"type":"object","properties":{"xa":{"minimum":3}},"patternProperties":{"^x":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {R"({"xa":3,"xb":1,"c":"s"})"},
       {R"({"xa":2})", R"({"xb":"s"})", R"({"c":1})"}},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"}})", {"{}", R"({"abc":1})"}, {R"({"aB":1})"}},
      {R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":1,"b":2})"},
       {R"({"c":1})", R"({"a":1,"a":2})"}},
      {R"({"type":"object","propertyNames":{"maxLength":2},"additionalProperties":{"type":"integer"}})",
       {R"({"ab":1})"},
       {R"({"abc":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependentRequired":{"a":["b"]}})",
       {"{}", R"({"b":1})", R"({"a":1,"b":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependencies":{"a":["b"]}})",
       {"{}", R"({"b":1})", R"({"a":1,"b":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependentSchemas":{"a":{"properties":{"b":{"type":"integer"}},"required":["b"]}}})",
       {"{}", R"({"b":"x"})", R"({"a":1,"b":1})"},
       {R"({"a":1})", R"({"a":1,"b":"x"})"}},
      {R"({"type":"object","allOf":[{"properties":{"a":{"type":"integer"}}}],"properties":{"b":{"type":"integer"}},"unevaluatedProperties":false})",
       {R"({"b":1,"a":1})", R"({"a":1})"},
       {R"({"c":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"unevaluatedProperties":{"type":"string"}})",
       {R"({"a":1,"b":"s"})"},
       {R"({"b":1})"}},
  });
  check_refused({
      {R"({"type":"object","required":["x"],"additionalProperties":false})",
       "additionalProperties: it allows no value"},
      {R"({"type":"object","properties":{"x":false},"required":["x"]})", "properties.x: it allows no value"},
      {R"({"type":"object","properties":{"x":{"type":"integer","minimum":5,"maximum":1}},"required":["x"]})",
       "properties.x: it allows no value"},
      {R"({"type":"object","properties":[]})", "\"properties\" must be an object"},
      {R"({"type":"object","properties":{"a":3}})", "properties.a: it must be a schema"},
      {R"({"type":"object","properties":{"a":{"required":true}}})",
       "properties.a: \"required\" must be an array of strings"},
      {R"({"type":"object","required":"a"})", "\"required\" must be an array of strings"},
      {R"({"type":"object","additionalProperties":"no"})", "\"additionalProperties\" must be a schema"},
      {R"({"type":"object","minProperties":2})", "\"minProperties\" cannot be enforced"},
      {R"({"type":"object","minProperties":3,"maxProperties":2})", "allows no value"},
      {R"({"type":"object","properties":{"a":{}},"additionalProperties":false,"minProperties":2})", "allows no value"},
      {R"({"type":"object","patternProperties":{"(":{}}})",
       "\"patternProperties\" cannot be enforced: it is not a regular expression"},
      {R"({"type":"object","propertyNames":{"enum":["a"]},"required":["b"]})", "allows no value"},
      {R"({"type":"object","dependentRequired":{"a":"b"}})", "must be a schema"},
  });
}

TEST(AnswerSchemaTest, Combined) {
  check({
      {R"({"anyOf":[{"type":"string"},{"type":"integer","minimum":3}]})", {R"("a")", "3"}, {"2", "null"}},
      {R"({"anyOf":[{"type":"string","maxLength":2},{"type":"null"}]})", {R"("ab")", "null"}, {R"("abc")"}},
      {R"({"anyOf":[{"const":"a"},{"const":"b"},{"type":"integer"}]})", {R"("a")", R"("b")", "1"}, {R"("c")"}},
      {R"({"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
       {"{}"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"}},"required":["b"]}]})",
       {R"({"a":1,"b":"x"})"},
       {R"({"a":1})", R"({"b":"x"})"}},
      {R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5},{"not":{"const":4}}]})", {"3", "5"}, {"2", "4", "6"}},
      {R"({"allOf":[{"properties":{"a":{"minimum":2}}},{"properties":{"a":{"maximum":3}}}],"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})",
       {R"({"a":2})", R"({"a":3})"},
       {R"({"a":1})", R"({"a":4})"}},
      {R"({"oneOf":[{"type":"string"},{"type":"integer"}]})", {R"("a")", "1"}, {"1.5", "null"}},
      {R"({"oneOf":[{"type":"integer","minimum":2},{"type":"integer","maximum":4}]})", {"1", "5"}, {"2", "3", "4"}},
      {R"({"oneOf":[{"multipleOf":1,"type":"number","maximum":2},{"type":"number","minimum":2}]})", {"1", "3"}, {"2"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"oneOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})"},
       {"{}", R"({"a":1,"b":1})"}},
      {R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["kind","lives"]},
                    {"type":"object","properties":{"kind":{"const":"dog"},"name":{"type":"string"}},"required":["kind","name"]}]})",
       {R"({"kind":"cat","lives":9})", R"({"kind":"dog","name":"x"})"},
       {R"({"kind":"cat","name":"x"})", R"({"kind":"cow"})"}},
      {R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}}},
                    {"type":"object","properties":{"kind":{"const":"dog"},"name":{"type":"string"}}}]})",
       {R"({"kind":"cat"})", R"({"kind":"dog","name":"x"})", R"({"kind":"cat","lives":1})"},
       {"{}", R"({"lives":1})"}},
      {R"({"oneOf":[{"enum":["a","b"]},{"enum":["b","c"]}]})", {R"("a")", R"("c")"}, {R"("b")"}},
      {R"({"type":"string","not":{"enum":["a","b"]}})", {R"("c")", R"("ab")", R"("")"}, {R"("a")", R"("b")"}},
      {R"({"type":"string","not":{"pattern":"^a"}})", {R"("b")", R"("")"}, {R"("a")", R"("ab")"}},
      {R"({"not":{"type":"string"}})", {"1", "{}", "null"}, {R"("a")"}},
      {R"({"not":{"type":["object","array","string","null","boolean"]}})", {"1.5"}, {R"("a")", "{}"}},
      {R"({"type":"integer","not":{"minimum":3}})", {"2", "-1"}, {"3"}},
      {R"({"type":"integer","not":{"const":0}})", {"1", "-1"}, {"0"}},
      {R"({"type":"integer","not":{"enum":[1,3]}})", {"0", "2", "4"}, {"1", "3"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"not":{"required":["a","b"]}})",
       {"{}", R"({"a":1})", R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({"not":{"not":{"type":"integer"}}})", {"1"}, {R"("a")"}},
      {R"({"type":"array","items":{"type":"integer"},"not":{"items":{"minimum":5}}})", {"[1]", "[1,9]"}, {"[]", "[5]"}},
      {R"({"type":"object","properties":{"kind":{"enum":["a","b"]},"x":{"type":"integer"}},"required":["kind"],
           "if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["x"]},"else":{"properties":{"x":false}}})",
       {R"({"kind":"a","x":1})", R"({"kind":"b"})"},
       {R"({"kind":"a"})", R"({"kind":"b","x":1})"}},
      {R"({"type":"integer","if":{"minimum":10},"then":{"multipleOf":10},"else":{"maximum":5}})",
       {"10", "20", "5"},
       {"15", "7"}},
      {R"({"type":"integer","then":{"const":1}})", {"2"}, {}},
      {R"({"type":["string","integer"],"minLength":2,"minimum":5})", {R"("ab")", "5"}, {R"("a")", "4"}},
  });
  check_refused({
      {R"({"anyOf":[]})", "\"anyOf\" must be an array that is not empty"},
      {R"({"oneOf":{}})", "\"oneOf\" must be an array"},
      {R"({"allOf":[1]})", "allOf.0: it must be a schema"},
      {R"({"not":7})", "\"not\" must be a schema"},
      {R"({"type":"string","allOf":[{"type":"integer"}]})", "\"allOf\" leaves no value"},
      {R"({"type":"string","not":{"type":"string"}})", "\"not\" cannot be enforced"},
      {R"({"type":"array","not":{"uniqueItems":true}})", "\"not\" cannot be enforced"},
      {R"({"oneOf":[{"type":"string"},{"type":"string"}]})", "\"oneOf\" cannot be enforced"},
      {R"({"type":"string","not":{"format":"date"}})", "\"not\" cannot be enforced"},
  });
}

TEST(AnswerSchemaTest, References) {
  check({
      {R"({"$defs":{"n":{"type":"integer"}},"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"]})",
       {R"({"a":1})"},
       {R"({"a":"x"})"}},
      {R"({"definitions":{"a/b~c %":{"type":"integer"}},"$ref":"#/definitions/a~1b~0c%20%25"})", {"1"}, {R"("x")"}},
      {R"({"$defs":{"n":{"$anchor":"here","type":"integer"}},"items":{"$ref":"#here"},"type":"array"})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"$id":"https://example.com/root.json","$defs":{"n":{"$id":"n.json","type":"integer"}},"type":"array","items":{"$ref":"n.json"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"$id":"https://example.com/root.json","$defs":{"n":{"type":"integer"}},"type":"array","items":{"$ref":"https://example.com/root.json#/$defs/n"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"definitions":{"n":{"id":"#n","type":"integer"}},"type":"array","items":{"$ref":"#n"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"type":"object","properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},"required":["name"]})",
       {R"({"name":"a","children":[{"name":"b","children":[]},{"name":"c"}]})"},
       {R"({"name":"a","children":[{}]})"}},
      {R"({"$defs":{"tree":{"anyOf":[{"type":"null"},{"type":"object","properties":{"l":{"$ref":"#/$defs/tree"},"r":{"$ref":"#/$defs/tree"}},"required":["l","r"]}]}},"$ref":"#/$defs/tree"})",
       {"null", R"({"l":null,"r":{"l":null,"r":null}})"},
       {"{}", R"({"l":1,"r":null})"}},
      {R"({"$defs":{"tree":{"oneOf":[{"type":"integer"},{"type":"object","properties":{"l":{"$ref":"#/$defs/tree"}},"required":["l"]},{"type":"object","properties":{"r":{"$ref":"#/$defs/tree"}},"required":["r"]}]}},"$ref":"#/$defs/tree"})",
       {"1", R"({"l":{"r":2}})"},
       {R"({"l":1,"r":1})", "{}"}},
      {R"({"$defs":{"a":{"type":"object","properties":{"b":{"$ref":"#/$defs/b"}}},"b":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"})",
       {R"({"b":{"a":{"b":{}}}})"},
       {R"({"a":{}})"}},
      {R"({"$defs":{"a":{"type":"integer"},"a-":{"type":"string"},"a_":{"type":"null"}},"type":"array","prefixItems":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a-"},{"$ref":"#/$defs/a_"}]})",
       {R"([1,"x",null])"},
       {R"([1,1,1])", R"([1,null,"x"])"}},
      {R"({"$defs":{"n":{"type":"integer"}},"$ref":"#/$defs/n","minimum":3})", {"3"}, {"2"}},
      {R"({"type":"array","items":{"$ref":"#/$defs/l"},"$defs":{"l":[{"type":"integer"}],"m":{}},"maxItems":0})",
       {"[]"},
       {"[1]"}},
      {R"({"properties":{"a":{"type":"integer"},"b":{"$ref":"#/properties/a"}},"required":["a","b"]})",
       {R"({"a":1,"b":2})"},
       {R"({"a":1,"b":"x"})"}},
      {R"({"$recursiveAnchor":true,"type":"object","properties":{"next":{"$recursiveRef":"#"}}})",
       {R"({"next":{"next":{}}})"},
       {R"({"next":1})"}},
      {R"({"properties":{"default":{"properties":{"enum":{"$anchor":"e","type":"integer"}}},"x":{"$ref":"#e"}},"required":["x"]})",
       {R"({"x":1})"},
       {R"({"x":"1"})"}},
  });
  check_refused({
      {R"({"properties":{"a":{"$ref":"#/$defs/none"}},"required":["a"]})",
       "properties.a: \"$ref\" cannot be followed: \"#/$defs/none\" is not in the schema"},
      {R"({"$ref":"https://example.com/schema.json"})", "is not in the schema"},
      {R"({"$ref":"#"})", "leads back to itself"},
      {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})", "leads back to itself"},
      {R"({"anyOf":[{"type":"null"},{"$ref":"#"}]})", "leads back to itself"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "allows no value"},
      {R"({"type":"array","items":{"$ref":"#"},"minItems":1})", "allows no value"},
      {R"({"$ref":5})", "\"$ref\" must be a string"},
      {R"({"not":{"$ref":"#"}})", "leads back to itself"},
      {R"({"$ref":"#/%zz"})", "is not in the schema"},
  });
}

TEST(AnswerSchemaTest, AnnotationsSayNothing) {
  check(
      {{R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$comment":"c","title":"t","description":"d","type":"object",
              "properties":{"a":{"type":"integer","default":3,"examples":[1,"x"],"deprecated":true,"readOnly":true,"writeOnly":false,"x-order":1}},
              "required":["a"],"strict":true})",
        {R"({"a":1})"},
        {R"({"a":"x"})"}}});
}

TEST(AnswerSchemaTest, WhatIsNoSchemaIsRefused) {
  check_refused({{"", "must be a JSON object"},
                 {"[", "must be a JSON object"},
                 {"[]", "must be a JSON object"},
                 {"true", "must be a JSON object"},
                 {"\"{}\"", "must be a JSON object"},
                 {"{\"a\":1e999}", "must be a JSON object"},
                 {"{\"\xff\":1}", "must be a JSON object"}});
}

// Whatever it is made of, a schema is answered soon.
TEST(AnswerSchemaTest, HostileSchemasAreBounded) {
  const auto repeat = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) {
      all += text;
    }
    return all;
  };
  std::vector<std::string> schemas = {
      repeat(R"({"items":)", 5000) + "{}" + repeat("}", 5000),
      repeat(R"({"not":)", 90) + "{}" + repeat("}", 90),
      R"({"type":"string","pattern":")" + repeat("(", 5000) + repeat(")", 5000) + "\"}",
      R"({"type":"string","pattern":")" + repeat("(?=a)", 5000) + "\"}",
      R"({"type":"string","pattern":")" + repeat("[a-z]{1,1000}", 50) + "\"}",
      R"({"type":"string","pattern":")" + repeat("(a|b|ab)*", 200) + "c{500}\"}",
      R"({"type":"array","prefixItems":[)" + repeat("{},", 30000) + "{}]}",
      R"({"type":"array","contains":{},"minContains":1000000000})",
      R"({"type":"object","minProperties":1000000000})",
      R"({"type":"object","maxProperties":1000000000})",
      R"({"type":"integer","minimum":1e300})",
      R"({"type":"integer","multipleOf":1999,"minimum":-1e59,"maximum":1e59})",
      R"({"type":"number","multipleOf":1e-300})",
  };
  std::string chain = R"({"$defs":{)";
  std::string doubled = chain;
  std::string any = chain;
  std::string one = chain;
  for (int i = 0; i < 3000; ++i) {
    chain += fmt::format(R"("d{}":{{"$ref":"#/$defs/d{}"}},)", i, i + 1);
  }
  for (int i = 0; i < 60; ++i) {
    doubled += fmt::format(R"("d{0}":{{"allOf":[{{"$ref":"#/$defs/d{1}"}},{{"$ref":"#/$defs/d{1}"}}]}},)", i, i + 1);
    any += fmt::format(
        R"("d{0}":{{"allOf":[{{"anyOf":[{{"required":["a{0}"]}},{{"required":["b{0}"]}}]}},{{"$ref":"#/$defs/d{1}"}}]}},)",
        i, i + 1);
    one += fmt::format(R"("d{0}":{{"type":"object","oneOf":[{{"required":["a{0}"]}},{{"$ref":"#/$defs/d{1}"}}]}},)", i,
                       i + 1);
  }
  schemas.push_back(chain + R"("d3000":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(doubled + R"("d60":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(any + R"("d60":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(one + R"("d60":{}},"$ref":"#/$defs/d0"})");
  std::string many = R"({"type":"object","properties":{)";
  std::string patterns = R"({"type":"object","patternProperties":{)";
  std::string strings = many;
  std::string branches = R"({"oneOf":[)";
  for (int i = 0; i < 10000; ++i) {
    many += fmt::format(R"({}"p{}":{{"type":"integer"}})", i == 0 ? "" : ",", i);
  }
  for (int i = 0; i < 1000; ++i) {
    strings +=
        fmt::format(R"({}"p{}":{{"type":"string","pattern":"^[a-z]{{{},500}}$"}})", i == 0 ? "" : ",", i, i % 100);
    branches += fmt::format(R"({}{{"properties":{{"p{}":{{"minLength":{}}}}}}})", i == 0 ? "" : ",", i, i);
  }
  for (int i = 0; i < 30; ++i) {
    patterns += fmt::format(R"({}"{}":{{"type":"integer"}})", i == 0 ? "" : ",", static_cast<char>('a' + i % 26));
  }
  schemas.push_back(many + "}}");
  schemas.push_back(strings + "}}");
  schemas.push_back(patterns + "}}");
  schemas.push_back(branches + "]}");
  for (const std::string& schema : schemas) {
    const auto begin = std::chrono::steady_clock::now();
    const auto rules = schema_rules(schema);
    printf("%6ld us %s %s\n",
           std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count(),
           schema.substr(0, 60).c_str(),
           rules ? std::to_string(rules->size()).c_str() : rules.error().message.substr(0, 150).c_str());
    if (rules) {
      EXPECT_LT(rules->size(), 20'000'000U) << schema.substr(0, 200);
      EXPECT_TRUE(GrammarForTest(*rules).good()) << schema.substr(0, 200);
    }
    printf("%6ld us\n",
           std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count());
  }
}

}  // namespace
}  // namespace hypura
