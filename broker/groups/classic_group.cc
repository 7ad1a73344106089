#include "broker/groups/classic_group.h"
