// The text of one schema: its parts by reference, and where they stand.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "hypura/result.h"

namespace hypura::schema {

using Json = nlohmann::ordered_json;

// Immutable after construction; neither copied nor moved, since parts are known by their address.
class Document {
 public:
  explicit Document(Json root);
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  const Json& root() const { return root_; }

  // What "$ref": `reference` in the schema `from` leads to; null when that is not in the document.
  const Json* resolve(const Json* from, const std::string& reference) const;

  // Where `part` stands, as in "properties.age"; empty for the root, and for what is no part of the document.
  std::string path(const Json* part) const;

 private:
  struct Place {
    const Json* parent = nullptr;
    std::string key;
    std::string base;    // the identifier of the schema resource that it is part of
    bool names = false;  // its members' keys are names, not keywords
  };

  void enter(const Json& part, Place place);
  const Json* by_fragment(const Json* resource, const std::string& base, const std::string& fragment) const;

  Json root_;
  std::map<const Json*, Place> places_;
  std::map<std::string, const Json*> ids_;  // schemas by identifier, and by "identifier#anchor"
};

}  // namespace hypura::schema
