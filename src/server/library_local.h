// The catalogue of this machine, offered by a host and changed by its clients.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "server/library.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

struct LibraryOptions {
  ModelPlaces places;
  // A look is not repeated by refresh() for so many times as long as it took: looking takes no more than a tenth of one
  // core, however often clients ask and however slow the disks are.
  int rest = 10;

  // Tests put another here.
  std::function<Catalogue(const ModelPlaces&)> read = &read_catalogue;
};

// What a host is to offer of a catalogue: each usable entry, by its name with a tag.
std::vector<OfferedModel> offered_of(const Catalogue& catalogue);
OfferedModel offered_of(const CatalogueEntry& entry);

// Looks on a thread of its own, first when it is asked to. `host` must outlive it, and no other thread may call its
// offer().
std::unique_ptr<ModelLibrary> make_local_library(LibraryOptions options, ModelHost& host);

}  // namespace hypura
